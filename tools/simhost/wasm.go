package simhost

const (
	wasmMagic = "\x00asm\x01\x00\x00\x00"

	sectionCustom, sectionImport, sectionCode = 0, 2, 10
)

// Instructions that matter here.
const (
	opUnreachable  = 0x00
	opNop          = 0x01
	opBlock        = 0x02
	opLoop         = 0x03
	opIf           = 0x04
	opElse         = 0x05
	opEnd          = 0x0b
	opBr           = 0x0c
	opBrIf         = 0x0d
	opBrTable      = 0x0e
	opReturn       = 0x0f
	opCall         = 0x10
	opCallIndirect = 0x11
	opDrop         = 0x1a
	opSelect       = 0x1b
	opLocalGet     = 0x20
	opLocalSet     = 0x21
	opLocalTee     = 0x22
	opGlobalGet    = 0x23
	opGlobalSet    = 0x24
	opFirstLoad    = 0x28
	opI32Load8U    = 0x2d
	opFirstStore   = 0x36
	opI64Store     = 0x37
	opLastStore    = 0x3e
	opMemorySize   = 0x3f
	opMemoryGrow   = 0x40
	opI32Const     = 0x41
	opI64Const     = 0x42
	opF32Const     = 0x43
	opF64Const     = 0x44
	opFirstSum     = 0x45 // of those that compute
	opI32Eqz       = 0x45
	opI64Eqz       = 0x50
	opI64Ne        = 0x52
	opI32Add       = 0x6a
	opI32Sub       = 0x6b
	opI64Add       = 0x7c
	opI32WrapI64   = 0xa7
	opI64ExtendU   = 0xad // i64.extend_i32_u
	opLastSum      = 0xc4
	opMore         = 0xfc

	noValues = 0x40 // the type of blocks that leave nothing
)

// An instruction is one, with the first number or the table that it has.
type instruction struct {
	op    byte
	n     uint64 // the first number, or how far from its address an access is
	align uint64
	table []uint64
}

// A wasmReader reads a module. It is bad once something is not as it should be.
type wasmReader struct {
	b   []byte
	i   int
	bad bool
}

func (r *wasmReader) end() bool { return r.bad || r.i >= len(r.b) }

func (r *wasmReader) take(n uint64) []byte {
	if n > uint64(len(r.b)-r.i) {
		r.bad = true
		return nil
	}
	r.i += int(n)
	return r.b[r.i-int(n) : r.i]
}

func (r *wasmReader) byte() byte {
	if b := r.take(1); len(b) == 1 {
		return b[0]
	}
	return 0
}

// uint reads a number without its sign, which no number that matters has.
func (r *wasmReader) uint() (n uint64) {
	for shift := 0; ; shift += 7 {
		b := r.byte()
		n |= uint64(b&0x7f) << shift
		if b < 0x80 {
			return n
		}
	}
}

// next reads an instruction of those that Go's compiler knows.
func (r *wasmReader) next() (in instruction) {
	in.op = r.byte()
	switch op := in.op; {
	case op == opBlock, op == opLoop, op == opIf, op == opBr, op == opBrIf, op == opCall,
		op >= opLocalGet && op <= opGlobalSet, op == opMemorySize, op == opMemoryGrow,
		op == opI32Const, op == opI64Const:
		in.n = r.uint()
	case op == opBrTable:
		for n := r.uint() + 1; n > 0 && !r.bad; n-- {
			in.table = append(in.table, r.uint())
		}
	case op == opCallIndirect, op >= opFirstLoad && op <= opLastStore:
		in.align, in.n = r.uint(), r.uint()
	case op == opF32Const:
		r.take(4)
	case op == opF64Const:
		r.take(8)
	case op == opMore:
		switch in.n = r.uint(); {
		case in.n < 8: // conversions
		case in.n == 10: // memory.copy
			r.take(2)
		case in.n == 11: // memory.fill
			r.take(1)
		default:
			r.bad = true
		}
	case op <= 1, op == opElse, op == opEnd, op == opReturn, op == opDrop, op == opSelect, op >= opFirstSum && op <= opLastSum:
	default:
		r.bad = true
	}
	return in
}
