package simhost

import (
	"bytes"
	"encoding/binary"
	"errors"
)

// direct makes jumps of a module that Go's compiler wrote direct.
//
// A function of Go is a row of basic blocks inside a loop that begins with a
// table of them all:
//
//	loop
//	  block … block block
//	    local.get 0  br_table
//	  end  the first block
//	  end  the second
//	  …
//	end
//	unreachable
//
// Each jump from one to another sets local 0 and goes round the loop, through the
// table, where every value that a local may have meets every other. To one
// further down, which most are, there is a shorter way: out of the block that ends
// where it begins.
//
// Then the table needs only those that somebody jumps back to, and those in which
// the function can be resumed: its first, and those after a call, whose number
// is written to the stack before the call. (A function with deferred calls may be
// resumed elsewhere, too.) The rest of the table leads to what is unreachable, and
// what compiles the module sees which values can meet. To the first block, where
// each call begins, there is a way that needs no table.
//
// What remains is made lean (see there). A function that does not look like that
// stays as it is.
func direct(module []byte) ([]byte, error) {
	m, err := survey(module)
	if err != nil {
		return nil, err
	}
	out := append(make([]byte, 0, len(module)), wasmMagic...)
	for r := (&wasmReader{b: module, i: len(wasmMagic)}); !r.end(); {
		id, section := r.byte(), r.take(r.uint())
		switch id {
		case sectionCode:
			section = m.code(section)
		case sectionCustom:
			s := &wasmReader{b: section}
			if bytes.HasPrefix(s.take(s.uint()), []byte(".debug_")) {
				continue // says where in the old code things are
			}
		}
		out = append(binary.AppendUvarint(append(out, id), uint64(len(section))), section...)
	}
	return out, nil
}

// A goModule is what has to be known of a module before its functions.
type goModule struct {
	imports     uint64 // imported functions, which have the first numbers
	deferreturn uint64 // the number of the runtime's function; 0 when its name is not there
	// resumed are the places that are written to the stack, by function, which
	// count without the imported ones here.
	resumed map[uint64]map[uint64]bool
	bad     bool
}

// survey reads all sections of a module.
func survey(module []byte) (*goModule, error) {
	m := &goModule{resumed: make(map[uint64]map[uint64]bool)}
	r := &wasmReader{b: module}
	if !bytes.Equal(r.take(uint64(len(wasmMagic))), []byte(wasmMagic)) {
		return nil, errors.New("not a WebAssembly module")
	}
	for !r.end() {
		m.look(r.byte(), &wasmReader{b: r.take(r.uint())})
	}
	if r.bad || m.bad {
		return nil, errors.New("the WebAssembly module is damaged")
	}
	return m, nil
}

// look reads a section.
func (m *goModule) look(id byte, r *wasmReader) {
	switch id {
	case sectionImport:
		for n := r.uint(); n > 0 && !r.bad; n-- {
			r.take(r.uint())
			r.take(r.uint())
			r.bad = r.bad || r.byte() != 0 // Go imports nothing but functions
			r.uint()
			m.imports++
		}
	case sectionCode:
		for n := r.uint(); n > 0 && !r.bad; n-- {
			m.constants(r.take(r.uint()))
		}
	case sectionCustom:
		if string(r.take(r.uint())) == "name" {
			m.names(r)
		}
	}
	m.bad = m.bad || r.bad
}

// names looks for a function by its name.
func (m *goModule) names(r *wasmReader) {
	for !r.end() {
		const functions = 1
		if id, size := r.byte(), r.uint(); id != functions {
			r.take(size)
			continue
		}
		for n := r.uint(); n > 0 && !r.bad; n-- {
			if f := r.uint(); string(r.take(r.uint())) == "runtime.deferreturn" {
				m.deferreturn = f
			}
		}
	}
}

// constants notes what a function may write to the stack as the place where one
// is resumed: the number of the function, counted from firstFunction, and that
// of the place.
func (m *goModule) constants(body []byte) {
	const firstFunction = 0x1000
	for w := walk(body); !w.end(); {
		in := w.next()
		if in.op != opI64Const || in.n>>16 < firstFunction {
			continue
		}
		f := in.n>>16 - firstFunction
		if m.resumed[f] == nil {
			m.resumed[f] = make(map[uint64]bool)
		}
		m.resumed[f][in.n&0xffff] = true
	}
}

// code is direct for the section of all functions.
func (m *goModule) code(section []byte) []byte {
	r := &wasmReader{b: section}
	n := r.uint()
	l := &function{}
	out := binary.AppendUvarint(make([]byte, 0, len(section)), n)
	for f := range n {
		body := r.take(r.uint())
		if entered := m.entered(f, body); entered != nil {
			body = l.lean(shorten(body, entered))
		}
		out = append(binary.AppendUvarint(out, uint64(len(body))), body...)
	}
	return out
}

// entered are the blocks of a function's row that the table needs; nil when the
// function is not as it should be.
func (m *goModule) entered(f uint64, body []byte) map[int]bool {
	w := walk(body)
	entered := make(map[int]bool)
	all, ended := m.deferreturn == 0, false
	for !w.end() {
		in := w.step()
		switch {
		case !w.inside():
			ended = ended || in.op == opEnd && w.table != nil && w.open == w.loop && !w.end() && w.b[w.i] == opUnreachable
		case in.op == opBrTable && w.here() >= 0, in.op == opBrIf && w.round(in):
			return nil
		case in.op == opBr && w.round(in):
			to, ok := w.jump()
			if !ok {
				return nil
			}
			if to <= w.here() {
				entered[to] = true
			}
		case in.op == opCall && in.n == m.deferreturn:
			all = true
		}
		w.note(in)
	}
	if w.bad || w.loops != 1 || !ended {
		return nil
	}
	for i := range m.resumed[f] {
		entered[w.at(i)] = true
	}
	entered[w.at(0)] = true
	for i := range w.blocks {
		entered[i] = entered[i] || all
	}
	return entered
}

// shorten is direct for a function of which some blocks are entered through the
// table. A block around the row ends where the others of the table lead.
func shorten(body []byte, entered map[int]bool) []byte {
	w := walk(body)
	out := append(make([]byte, 0, len(body)), body[:w.i]...)
	label := func(op byte, n int) { out = binary.AppendUvarint(append(out, op), uint64(n)) }
	for !w.end() {
		at := w.i
		in := w.step()
		switch {
		case in.op == opBrTable && w.table != nil:
			out = append(out, opI32Eqz)
			label(opBrIf, w.at(0))
			out = append(out, opLocalGet, 0)
			label(opBrTable, len(in.table)-1)
			for _, to := range in.table {
				if !entered[int(to)] {
					to = uint64(w.blocks)
				}
				out = binary.AppendUvarint(out, to)
			}
		case in.op == opBr && w.round(in):
			if to, _ := w.jump(); to > w.here() {
				label(opBr, w.open-w.loop-1-w.blocks+to)
			} else {
				label(opBr, int(in.n)+1)
			}
		case (in.op == opBr || in.op == opBrIf) && w.inside() && w.around(in) <= w.loop:
			label(in.op, int(in.n)+1)
		default:
			out = append(out, body[at:w.i]...)
			switch {
			case in.op == opLoop && w.table == nil:
				out = append(out, opBlock, noValues)
			case in.op == opEnd && w.table != nil && w.open == w.loop:
				out = append(out, opEnd)
			}
		}
		w.note(in)
	}
	return out
}

// A walker goes through a function and knows where in it it is.
type walker struct {
	wasmReader
	open         int         // blocks and loops around the next instruction, with the function
	before, last instruction // the two before the present one

	// loops is how many began before the table. The row: how many blocks and
	// loops are around its loop, how many blocks it has and how many of them are
	// open, and its table: the blocks by what local 0 holds, the last for all the
	// rest. Without a table the row is not there yet.
	loops              int
	loop, blocks, left int
	table              []uint64
}

func walk(body []byte) *walker {
	w := &walker{wasmReader: wasmReader{b: body}, open: 1}
	for n := w.uint(); n > 0 && !w.bad; n-- { // groups of locals
		w.uint()
		w.byte()
	}
	return w
}

// step goes on to the next instruction. note is called before the one after.
func (w *walker) step() instruction {
	in := w.next()
	if w.table == nil {
		w.expect(in)
	}
	switch in.op {
	case opBlock, opLoop, opIf:
		w.open++
	case opEnd:
		if w.open--; w.table != nil && w.open == w.loop+w.left {
			w.left--
		}
	}
	return in
}

func (w *walker) note(in instruction) { w.before, w.last = w.last, in }

// expect looks for the row.
func (w *walker) expect(in instruction) {
	switch {
	case in.op == opLoop && in.n == noValues:
		w.loops++
		w.loop, w.blocks = w.open, 0
	case in.op == opBlock && in.n == noValues:
		w.blocks++
	case in.op == opLocalGet && in.n == 0:
	case in.op == opBrTable && w.last.op == opLocalGet && w.loop > 0 && w.blocks > 0:
		w.table, w.left = in.table, w.blocks
	default:
		w.loop = 0
	}
}

// here is the number of the block of the row that the instruction is in.
func (w *walker) here() int { return w.blocks - w.left - 1 }

// around is how many blocks and loops are around what a branch leads to.
func (w *walker) around(in instruction) int { return w.open - 1 - int(in.n) }

// inside reports whether the instruction is in the row.
func (w *walker) inside() bool { return w.table != nil && w.open > w.loop }

// round reports whether a branch goes round the loop.
func (w *walker) round(in instruction) bool { return w.inside() && w.around(in) == w.loop }

// at is the block for a number.
func (w *walker) at(n uint64) int { return int(w.table[min(n, uint64(len(w.table)-1))]) }

// jump is the block to which a branch round the loop leads, if that can be told.
func (w *walker) jump() (to int, ok bool) {
	if w.last.op != opLocalSet || w.last.n != 0 || w.before.op != opI32Const {
		return 0, false
	}
	return w.at(w.before.n), true
}
