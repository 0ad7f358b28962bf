package simhost

import (
	"encoding/binary"
	"slices"
)

// lean writes a function with fewer instructions that do the same.
//
// Go's compiler leaves it to what compiles a module to see that a condition is
// negated twice, or that an address is the one of before. wazero does not look for
// that. Each instruction costs what it says, and each access to memory a check of
// its bounds, which is four times as long as the access, unless as much was
// checked of the very same value on the only way that leads here. So:
//
//   - What is negated is not negated again, and a number that is added to an
//     address becomes a part of the access (fold, nearer).
//   - A jump that is all that happens if a condition holds becomes a conditional
//     jump: behind it, wazero goes on with what it knows, and behind an if it does
//     not.
//   - Of accesses that follow from one address, the first looks as far as all of
//     them do (see pass).
//
// body is one that shorten wrote. Local 0 is read nowhere but at the table, and
// the jumps to elsewhere need not set it; if it is, the function stays as it is.
func (f *function) lean(body []byte) []byte {
	if !f.read(body) {
		return body
	}
	f.nearer()
	f.count()
	f.run(&pass{function: f})
	f.run(&pass{function: f, write: true})
	return f.bytes()
}

// A function is one whose instructions are being changed.
type function struct {
	groups   uint64 // of locals
	declared []byte // the groups, as they were written
	locals   uint64 // how many there are, with the parameter that each function has

	tokens []token
	loops  []bool // of the blocks that are open, which are loops

	access []int    // by the token that leaves an address: the token of the access, 0 for none
	labels []target // by the token that opens a block
	sets   []set

	out   []token
	added uint64            // locals
	below uint64            // the one for what lies below the stack pointer, 0 for none
	cut   map[uint64]uint64 // those for addresses that were cut to 32 bits, by what holds the address
}

// A token is an instruction, and how it was written; nil when it was made here.
type token struct {
	instruction
	raw []byte
}

func made(op byte, n uint64) token { return token{instruction: instruction{op: op, n: n}} }

// distance reports whether a token is a number that may be a part of an access.
func (t *token) distance(op byte) bool {
	const negative = 0x40 // in the last byte
	return t.op == op && t.n < 1<<31 && (t.raw == nil || t.raw[len(t.raw)-1]&negative == 0)
}

// read reads and folds the instructions. It is false for a function that has to
// stay as it is.
func (f *function) read(body []byte) bool {
	r := &wasmReader{b: body}
	f.groups, f.locals, f.added, f.below = r.uint(), 1, 0, 0
	begin := r.i
	for n := f.groups; n > 0 && !r.bad; n-- {
		f.locals += r.uint()
		r.byte()
	}
	f.declared, f.tokens, f.loops = body[begin:r.i], f.tokens[:0], f.loops[:0]
	table := false
	for !r.end() {
		at := r.i
		in := r.next()
		switch in.op {
		case opNop:
			continue
		case opBlock, opIf, opLoop:
			f.loops = append(f.loops, in.op == opLoop)
		case opElse:
			if len(f.loops) == 0 {
				return false
			}
		case opEnd:
			f.loops = f.loops[:max(0, len(f.loops)-1)]
		case opBrTable, opLocalGet:
			if table && (in.op == opBrTable || in.n == 0) {
				return false
			}
			table = table || in.op == opBrTable
		}
		f.tokens = append(f.tokens, token{in, body[at:r.i]})
		f.fold()
	}
	return !r.bad && table
}

// last is a token, counted from the end.
func (f *function) last(i int) *token {
	if i >= len(f.tokens) {
		return &token{}
	}
	return &f.tokens[len(f.tokens)-1-i]
}

// instead replaces the last tokens, and folds what comes of it.
func (f *function) instead(n int, by ...token) {
	f.tokens = f.tokens[:len(f.tokens)-n]
	for _, t := range by {
		f.tokens = append(f.tokens, t)
		f.fold()
	}
}

// fold says the last tokens in fewer words, if it can.
func (f *function) fold() {
	a, b, c := *f.last(0), *f.last(1), *f.last(2)
	switch {
	case a.op == opI32WrapI64 && b.op == opI64ExtendU:
		f.instead(2)
	case a.op == opI32WrapI64 && b.distance(opI64Const):
		f.instead(2, made(opI32Const, b.n))
	case a.op == opI32WrapI64 && b.op == opI64Add && c.distance(opI64Const):
		f.instead(3, made(opI32WrapI64, 0), made(opI32Const, c.n), made(opI32Add, 0))
	case a.op == opI64Eqz && b.op == opI64ExtendU:
		f.instead(2, made(opI32Eqz, 0))
	case a.op == opI32Eqz && b.op == opI64Eqz:
		f.instead(2, made(opI64Const, 0), made(opI64Ne, 0))
	case a.op == opI32Eqz && opposite[b.op] != 0:
		f.instead(2, made(opposite[b.op], 0))
	case a.op == opI32Eqz && b.op == opI32Eqz && c.op == opI32Eqz:
		f.instead(2)
	case (a.op == opIf || a.op == opBrIf) && b.op == opI32Eqz && c.op == opI32Eqz:
		f.instead(3, a)
	case a.op == opEnd && b.op == opBr:
		f.conditional(b.n)
	}
}

// conditional makes one jump of an if in which there is nothing else, unless it
// leads to the table.
func (f *function) conditional(to uint64) {
	n := 2
	if set := f.last(2); set.op == opLocalSet && set.n == 0 && f.last(3).op == opI32Const {
		n = 4
	}
	if begin := f.last(n); begin.op != opIf || begin.n != noValues || to == 0 || to > uint64(len(f.loops)) || f.loops[len(f.loops)-int(to)] {
		return
	}
	f.instead(n+1, made(opBrIf, to-1))
}

// opposite are comparisons of integers, by those that are true when they are not.
var opposite = func() (all [256]byte) {
	const (
		eq, ne, ltS, ltU, gtS, gtU, leS, leU, geS, geU = 0, 1, 2, 3, 4, 5, 6, 7, 8, 9

		i32, i64 = 0x46, 0x51
	)
	for _, pair := range [][2]byte{{eq, ne}, {ltS, geS}, {ltU, geU}, {gtS, leS}, {gtU, leU}} {
		for _, first := range []byte{i32, i64} {
			all[first+pair[0]], all[first+pair[1]] = first+pair[1], first+pair[0]
		}
	}
	return all
}()

// accessed is how many bytes the loads and stores are of.
var accessed = [...]uint64{4, 8, 4, 8, 1, 1, 2, 2, 1, 1, 2, 2, 4, 4, 4, 8, 4, 8, 1, 2, 1, 2, 4}

// end is where an access ends, counted from its address.
func (t *token) end() uint64 { return t.n + accessed[t.op-opFirstLoad] }

// nearer makes what is added to an address a part of the access, and notes
// which token leaves the address of which.
//
// The sum has 32 bits and may begin anew at 0, where an access ends the program.
// Addresses of Go's memory do neither, and Go's compiler does the same.
func (f *function) nearer() {
	const gone = 0xff // no instruction
	f.addresses(func(at, access int) {
		if at < 2 || f.tokens[at].op != opI32Add || !f.tokens[at-1].distance(opI32Const) {
			return
		}
		if t := &f.tokens[access]; t.n < 1<<31 {
			t.n, t.raw = t.n+f.tokens[at-1].n, nil
			f.tokens[at].op, f.tokens[at-1].op = gone, gone
		}
	})
	f.tokens = slices.DeleteFunc(f.tokens, func(t token) bool { return t.op == gone })
	f.access = append(f.access[:0], make([]int, len(f.tokens))...)
	f.addresses(func(at, access int) { f.access[at] = access })
}

// addresses calls do for each access and the token that leaves its address on
// the stack, as far as both are between the same two jumps.
func (f *function) addresses(do func(at, access int)) {
	var stack []int
	for i := range f.tokens {
		t := &f.tokens[i]
		takes, leaves := t.values()
		if takes < 0 || takes > len(stack) {
			stack, takes = stack[:0], 0
		}
		below := len(stack) - takes
		if takes > 0 && t.op >= opFirstLoad && t.op <= opLastStore {
			do(stack[below], i)
		}
		if stack = stack[:below]; leaves {
			stack = append(stack, i)
		}
	}
}

// values is how many values an instruction takes from the stack, and whether it
// leaves one. It takes -1 when that depends, and what comes after it begins anew.
func (t *token) values() (takes int, leaves bool) {
	switch op := t.op; {
	case op == opLocalGet, op == opGlobalGet, op == opMemorySize, op >= opI32Const && op <= opF64Const:
		return 0, true
	case op == opLocalSet, op == opGlobalSet, op == opDrop:
		return 1, false
	case op == opLocalTee, op == opMemoryGrow, op >= opFirstLoad && op < opFirstStore, op >= opFirstSum && op <= opLastSum && ofOne(op):
		return 1, true
	case op >= opFirstStore && op <= opLastStore:
		return 2, false
	case op >= opFirstSum && op <= opLastSum:
		return 2, true
	case op == opSelect:
		return 3, true
	}
	return -1, false
}

// ofOne reports whether an instruction computes something of one value.
func ofOne(op byte) bool {
	return op == opI32Eqz || op == opI64Eqz ||
		op >= 0x67 && op <= 0x69 || op >= 0x79 && op <= 0x7b || // bits of integers
		op >= 0x8b && op <= 0x91 || op >= 0x99 && op <= 0x9f || // floats
		op >= opI32WrapI64 // conversions
}

// bytes is the function as it is now.
func (f *function) bytes() []byte {
	groups := f.groups
	if f.added > 0 {
		groups++
	}
	b := append(binary.AppendUvarint(nil, groups), f.declared...)
	if f.added > 0 {
		const i32 = 0x7f
		b = append(binary.AppendUvarint(b, f.added), i32)
	}
	for i := range f.out {
		b = f.out[i].append(b)
	}
	return b
}

// append writes an instruction, one of those that are made here.
func (t *token) append(b []byte) []byte {
	if t.raw != nil {
		return append(b, t.raw...)
	}
	b = append(b, t.op)
	switch {
	case t.op >= opFirstLoad && t.op <= opLastStore:
		b = binary.AppendUvarint(binary.AppendUvarint(b, t.align), t.n)
	case t.op == opBrIf, t.op >= opLocalGet && t.op <= opGlobalSet:
		b = binary.AppendUvarint(b, t.n)
	case t.op == opI32Const, t.op == opI64Const:
		n := t.n // not negative, with a bit for the sign
		for ; n > 0x3f; n >>= 7 {
			b = append(b, byte(n)|0x80)
		}
		b = append(b, byte(n))
	}
	return b
}
