package simhost

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
)

// leaned is what becomes of the code of a function behind its table. It has a
// parameter, three locals of 32 bits, the first of them the stack pointer, and
// four of 64.
func leaned(code []byte) []byte {
	head := []byte{2, 3, 0x7f, 4, 0x7e, opBlock, noValues, opLocalGet, 0, opBrTable, 0, 0, opEnd}
	body := (&function{}).lean(slices.Concat(head, code, []byte{opEnd}))
	if i := bytes.Index(body, head[5:]); i >= 0 {
		return body[i+len(head)-5 : len(body)-1]
	}
	return nil
}

func TestLean(t *testing.T) {
	const (
		i64Load, i64Store8 = 0x29, 0x3c
		sp, ptr, cut       = stackPointer, 4, 8 // cut is the first local that is added

		i64Eq, i64Ne, i32LtU, i32GeU = 0x51, 0x52, 0x49, 0x4f
	)
	j := slices.Concat[[]byte, byte]
	look := func(local, end byte) []byte {
		return []byte{opLocalGet, local, opI32Load8U, 0, end - 1, opDrop}
	}
	load := func(from ...byte) []byte { return j(from[:len(from)-1], []byte{i64Load, 3, from[len(from)-1], opDrop}) }
	wrapped := []byte{opLocalGet, ptr, opI32WrapI64}
	jump := []byte{opLocalGet, 2, opIf, noValues, opReturn, opEnd}
	call := []byte{opLocalGet, sp, opI32Const, 8, opI32Sub, opLocalTee, sp, opGlobalSet, 0, opLocalGet, sp, opI64Const, 5, opI64Store, 3, 0}
	for name, c := range map[string]struct{ code, want []byte }{
		"nothing to do": {code: []byte{opLocalGet, 2, opDrop}},
		"two negations": {
			[]byte{opLocalGet, ptr, opI64Eqz, opI64ExtendU, opI64Eqz, opI32Eqz, opIf, noValues, opEnd},
			[]byte{opLocalGet, ptr, opI64Const, 0, i64Eq, opIf, noValues, opEnd},
		},
		"an opposite": {
			[]byte{opLocalGet, 1, opLocalGet, 2, i32LtU, opI32Eqz, opDrop},
			[]byte{opLocalGet, 1, opLocalGet, 2, i32GeU, opDrop},
		},
		"three negations": {
			[]byte{opLocalGet, 2, opI32Eqz, opI32Eqz, opI32Eqz, opDrop},
			[]byte{opLocalGet, 2, opI32Eqz, opDrop},
		},
		"two negations of a number":   {code: []byte{opLocalGet, 2, opI32Eqz, opI32Eqz, opDrop}},
		"a condition twice negated":   {[]byte{opLocalGet, 2, opI32Eqz, opI32Eqz, opBrIf, 0}, []byte{opLocalGet, 2, opBrIf, 0}},
		"a constant that is cut":      {[]byte{opI64Const, 0x80, 2, opI32WrapI64, opDrop}, []byte{opI32Const, 0x80, 2, opDrop}},
		"a negative one":              {code: []byte{opI64Const, 0x7f, opI32WrapI64, opDrop}},
		"a conditional jump":          {[]byte{opBlock, noValues, opLocalGet, 2, opIf, noValues, opI32Const, 3, opLocalSet, 0, opBr, 1, opEnd, opEnd}, []byte{opBlock, noValues, opLocalGet, 2, opBrIf, 0, opEnd}},
		"one that goes round":         {code: []byte{opLoop, noValues, opLocalGet, 2, opIf, noValues, opI32Const, 3, opLocalSet, 0, opBr, 1, opEnd, opEnd}},
		"more than a jump":            {code: []byte{opBlock, noValues, opLocalGet, 2, opIf, noValues, opCall, 1, opBr, 1, opEnd, opEnd}},
		"a jump to the end of itself": {code: []byte{opLocalGet, 2, opIf, noValues, opBr, 0, opEnd}},
		"a place on the stack": {
			[]byte{opLocalGet, sp, opI64ExtendU, opI64Const, 16, opI64Add, opI32WrapI64, opI64Const, 7, i64Store8, 0, 1},
			[]byte{opLocalGet, sp, opI64Const, 7, i64Store8, 0, 17},
		},
		"accesses of the stack":  {j(load(opLocalGet, sp, 0), jump, load(opLocalGet, sp, 16)), j(look(sp, 24), load(opLocalGet, sp, 0), jump, load(opLocalGet, sp, 16))},
		"the furthest first":     {code: j(load(opLocalGet, sp, 16), load(opLocalGet, sp, 0))},
		"another stack pointer":  {code: j(load(opLocalGet, sp, 0), []byte{opLocalGet, 2, opLocalSet, sp}, load(opLocalGet, sp, 16))},
		"a place others jump to": {code: j([]byte{opBlock, noValues, opLocalGet, 2, opBrIf, 0}, load(opLocalGet, sp, 0), []byte{opEnd}, load(opLocalGet, sp, 16))},
		"one that has one way": {
			j([]byte{opBlock, noValues}, load(opLocalGet, sp, 0), []byte{opLocalGet, 2, opBrIf, 0, opReturn, opEnd}, load(opLocalGet, sp, 16)),
			j([]byte{opBlock, noValues}, look(sp, 24), load(opLocalGet, sp, 0), []byte{opLocalGet, 2, opBrIf, 0, opReturn, opEnd}, load(opLocalGet, sp, 16)),
		},
		"a loop":       {code: j(load(opLocalGet, sp, 0), []byte{opLoop, noValues}, load(opLocalGet, sp, 16), []byte{opEnd})},
		"a call alone": {code: call},
		"a call": {
			j(load(opLocalGet, sp, 0), call),
			j([]byte{opLocalGet, sp, opI32Const, 8, opI32Sub, opLocalSet, cut}, load(opLocalGet, cut, 8),
				[]byte{opLocalGet, cut, opLocalTee, sp, opGlobalSet, 0, opLocalGet, cut, opI64Const, 5, opI64Store, 3, 0}),
		},
		"an address": {
			j(load(append(wrapped, 0)...), load(append(wrapped, 16)...)),
			j(wrapped, []byte{opLocalTee, cut}, look(cut, 24), []byte{i64Load, 3, 0, opDrop}, load(opLocalGet, cut, 16)),
		},
		"one behind a jump": {
			j(load(append(wrapped, 0)...), jump, load(append(wrapped, 16)...)),
			j(wrapped, []byte{opLocalTee, cut, i64Load, 3, 0, opDrop}, jump, load(opLocalGet, cut, 16)),
		},
		"one that changes": {
			j(load(append(wrapped, 0)...), []byte{opI64Const, 1, opLocalSet, ptr}, load(append(wrapped, 16)...)),
			j(wrapped, []byte{opLocalTee, cut, i64Load, 3, 0, opDrop, opI64Const, 1, opLocalSet, ptr}, wrapped, []byte{opLocalTee, cut, i64Load, 3, 16, opDrop}),
		},
		"one that may change": {
			j(load(append(wrapped, 0)...), []byte{opLocalGet, 2, opIf, noValues, opI64Const, 1, opLocalSet, ptr, opEnd}, load(append(wrapped, 16)...)),
			j(wrapped, []byte{opLocalTee, cut, i64Load, 3, 0, opDrop, opLocalGet, 2, opIf, noValues, opI64Const, 1, opLocalSet, ptr, opEnd}, wrapped, []byte{opLocalTee, cut, i64Load, 3, 16, opDrop}),
		},
		"one that a call may change": {
			j([]byte{opGlobalGet, 2, opI32WrapI64, opDrop, opCall, 1, opDrop, opGlobalGet, 2, opI32WrapI64, opDrop, opGlobalGet, 2, opI32WrapI64, opDrop}),
			j([]byte{opGlobalGet, 2, opI32WrapI64, opLocalTee, cut, opDrop, opCall, 1, opDrop, opGlobalGet, 2, opI32WrapI64, opLocalTee, cut, opDrop, opLocalGet, cut, opDrop}),
		},
	} {
		if c.want == nil {
			c.want = c.code
		}
		if got := leaned(c.code); !bytes.Equal(got, c.want) {
			t.Errorf("%s:\ngot  %x\nwant %x", name, got, c.want)
		}
	}
	for name, code := range map[string][]byte{
		"a second table":               {opBlock, noValues, opLocalGet, 2, opBrTable, 0, 0, opEnd},
		"the number of the block":      {opLocalGet, 0, opDrop, opNop},
		"an else without an if":        {opEnd, opElse},
		"an instruction of the future": {0xfd, 0x0c},
	} {
		if got := leaned(code); !bytes.Equal(got, code) {
			t.Errorf("%s: %x was made of %x", name, got, code)
		}
	}
}

// A writer writes functions as Go's compiler does, at random.
type writer struct {
	*rand.Rand
	b []byte
}

const (
	writerBlocks = 6

	i32Locals, i64Locals = 2, 4 // with the stack pointer and what is left to do; the parameter is before them
	left, firstPointer   = 2, 3
)

func (w *writer) put(b ...byte) { w.b = append(w.b, b...) }

func (w *writer) number(op byte, n uint64) {
	t := made(op, n)
	w.b = t.append(w.b)
}

// pointer is a local that may be used as one of 64 bits.
func (w *writer) pointer() byte { return firstPointer + byte(w.IntN(i64Locals)) }

// address leaves one: of the stack, of what a pointer points to, or of what is in
// a global. It is in memory with everything within 1 KiB of it.
func (w *writer) address() {
	switch w.IntN(6) {
	case 0, 1:
		w.put(opLocalGet, stackPointer)
	case 2:
		w.put(opLocalGet, stackPointer, opI64ExtendU)
		w.number(opI64Const, w.Uint64N(200))
		w.put(opI64Add, opI32WrapI64)
	case 3:
		w.put(opGlobalGet, 2, opI32WrapI64)
	case 4:
		w.put(opLocalGet, w.pointer(), opI32WrapI64)
	case 5:
		w.put(opLocalGet, w.pointer())
		w.number(opI64Const, w.Uint64N(200))
		w.put(opI64Add, opI32WrapI64)
	}
}

// access is an instruction for one.
func (w *writer) access(op byte) {
	w.put(op, 0)
	w.b = binary.AppendUvarint(w.b, w.Uint64N(400))
}

// value leaves one of 64 bits.
func (w *writer) value() {
	switch w.IntN(4) {
	case 0:
		w.number(opI64Const, w.Uint64N(1<<20))
	case 1:
		w.put(opLocalGet, w.pointer())
	case 2:
		w.address()
		w.access([]byte{0x29, 0x31, 0x33, 0x35}[w.IntN(4)])
	case 3:
		w.condition()
		w.put(opI64ExtendU)
	}
}

// condition leaves one, negated often.
func (w *writer) condition() {
	w.put(opLocalGet, w.pointer())
	if w.IntN(2) == 0 {
		w.put(opI64Eqz)
	} else {
		w.put(opLocalGet, w.pointer(), 0x51+byte(w.IntN(10)))
	}
	for range w.IntN(4) {
		if w.IntN(2) == 0 {
			w.put(opI32Eqz)
		} else {
			w.put(opI64ExtendU, opI64Eqz)
		}
	}
}

// assign gives a local the value on the stack, made a pointer to the first half
// of memory.
func (w *writer) assign() {
	w.number(opI64Const, 0x7fff)
	w.put(0x83, opLocalSet, w.pointer()) // i64.and
}

// jump leads to a block, from inside inner blocks of block at.
func (w *writer) jump(at, inner, to int) {
	w.number(opI32Const, uint64(to))
	w.put(opLocalSet, 0, opBr, byte(writerBlocks-1-at+inner))
}

// some accesses of memory, and new values for pointers.
func (w *writer) some() {
	for range 1 + w.IntN(3) {
		if w.IntN(3) == 0 {
			w.value()
			w.assign()
			continue
		}
		w.address()
		w.value()
		w.access([]byte{opI64Store, 0x3c, 0x3d, 0x3e}[w.IntN(4)])
	}
}

// statement is one of block at.
func (w *writer) statement(at int) {
	switch w.IntN(8) {
	case 0, 1, 2:
		w.some()
	case 3:
		w.put(opBlock, noValues)
		w.some()
		w.condition()
		w.put(opBrIf, 0)
		w.some()
		w.put(opEnd)
	case 4:
		w.put(opGlobalGet, 2)
		w.number(opI64Const, w.Uint64N(1<<14))
		w.put(0x85, opGlobalSet, 2) // i64.xor
	case 5:
		w.condition()
		w.put(opIf, noValues)
		w.some()
		if w.IntN(4) > 0 {
			w.jump(at, 1, w.IntN(writerBlocks))
		}
		w.put(opEnd)
	case 6:
		sum := byte(opI32Add)
		if w.IntN(2) == 0 {
			sum = opI32Sub
		}
		w.put(opLocalGet, stackPointer, opI32Const, 24, sum, opLocalTee, stackPointer, opGlobalSet, 0)
	case 7:
		w.put(opLocalGet, stackPointer, opI32Const, 8, opI32Sub, opLocalTee, stackPointer, opGlobalSet, 0, opLocalGet, stackPointer, opI64Const, 5, opI64Store, 3, 0)
		w.put(opI32Const, 0, opCall, 1, opGlobalGet, 0, opLocalSet, stackPointer, opIf, noValues, opI32Const, 1, opReturn, opEnd)
	}
}

// function writes one.
func (w *writer) function() []byte {
	w.b = []byte{2, i32Locals, 0x7f, i64Locals, 0x7e, opGlobalGet, 0, opLocalSet, stackPointer, opI32Const, 30, opLocalSet, left}
	w.some()
	w.put(opLoop, noValues)
	for range writerBlocks {
		w.put(opBlock, noValues)
	}
	w.put(opLocalGet, 0, opBrTable, writerBlocks)
	for i := range byte(writerBlocks + 1) {
		w.put(min(i, writerBlocks-1))
	}
	for at := range writerBlocks {
		w.put(opEnd)
		w.put(opLocalGet, left, opI32Const, 1, opI32Sub, opLocalTee, left, opI32Eqz, opIf, noValues, opI32Const, 0, opReturn, opEnd)
		for range w.IntN(10) {
			w.statement(at)
		}
		switch w.IntN(4) {
		case 0:
			w.put(opI32Const, 0, opReturn)
		case 1:
			w.jump(at, 0, w.IntN(writerBlocks))
		default: // on to the next
			if at == writerBlocks-1 {
				w.put(opI32Const, 0, opReturn)
			}
		}
	}
	w.put(opEnd, opUnreachable, opEnd)
	return w.b
}

// callee is what the functions call: it takes the place to return to from the
// stack, changes what is there and the pointer in the global, and now and then it
// wants to be resumed.
var callee = []byte{0,
	opGlobalGet, 0, opI32Const, 8, opI32Add, opGlobalSet, 0,
	opGlobalGet, 2, opI64Const, 9, opI64Add, opI64Const, 0xff, 0xff, 0, 0x83, opGlobalSet, 2,
	opGlobalGet, 0, opGlobalGet, 2, opI64Store, 0, 24,
	opGlobalGet, 2, opI64Const, 0x1f, 0x83, opI64Eqz,
	opEnd}

// random is a module of a function at random, and callee.
func random(seed uint64) []byte {
	w := &writer{Rand: rand.New(rand.NewPCG(seed, 0))}
	return slices.Concat([]byte(wasmMagic),
		section(1, 1, 0x60, 1, 0x7f, 1, 0x7f), // (i32) -> i32
		section(3, 2, 0, 0),                   // of that type
		section(5, 1, 0, 1),                   // a page of memory
		section(6, 3, // globals: the stack pointer, one for the runtime, and a pointer
			0x7f, 1, opI32Const, 0x80, 0x80, 2, opEnd, 0x7f, 1, opI32Const, 0, opEnd, 0x7e, 1, opI64Const, 0x80, 4, opEnd),
		section(7, 4, 1, 'f', 0, 0, 1, 'm', 2, 0, 1, 's', 3, 0, 1, 'p', 3, 2),
		section(sectionCode, slices.Concat([]byte{2}, sized(w.function()), sized(callee))...))
}

// run calls the function from each of its blocks, one after the other, and
// returns everything that can be seen of that.
func run(t *testing.T, module []byte, how wazero.RuntimeConfig) string {
	t.Helper()
	ctx := context.Background()
	r := wazero.NewRuntimeWithConfig(ctx, how)
	defer func() { _ = r.Close(ctx) }()
	m, err := r.Instantiate(ctx, module)
	if err != nil {
		t.Fatalf("%v: %x", err, module)
	}
	var seen bytes.Buffer
	for at := range uint64(writerBlocks) {
		got, err := m.ExportedFunction("f").Call(ctx, at)
		if err != nil {
			t.Fatalf("%v: %x", err, module)
		}
		memory, _ := m.ExportedMemory("m").Read(0, 1<<16)
		fmt.Fprintf(&seen, "%d %d %d %x\n", got, m.ExportedGlobal("s").Get(), m.ExportedGlobal("p").Get(), memory)
		m.ExportedGlobal("s").(api.MutableGlobal).Set(1 << 15)
	}
	return seen.String()
}

// A lean function that is compiled does what the one of before does that is
// interpreted.
func TestLeanDoesTheSame(t *testing.T) {
	shorter, looks, lifted := 0, 0, 0
	for seed := range uint64(120) {
		was := random(seed)
		is, err := direct(was)
		if err != nil {
			t.Fatal(err)
		}
		if len(is) < len(was) {
			shorter++
		}
		looks += bytes.Count(is, []byte{opI32Load8U, 0})
		lifted += bytes.Count(is, []byte{opI32Const, lift, opI32Sub, opLocalSet})
		if before, after := run(t, was, wazero.NewRuntimeConfigInterpreter()), run(t, is, wazero.NewRuntimeConfig()); before != after {
			t.Fatalf("seed %d:\nwas %x\nis  %x", seed, was, is)
		}
	}
	if t.Logf("%d shorter, %d times looked ahead, %d times below the stack pointer", shorter, looks, lifted); shorter < 40 || looks < 400 || lifted < 40 {
		t.Errorf("%d are shorter, %d times one looked ahead, %d times from below the stack pointer: too few for this to show much", shorter, looks, lifted)
	}
}
