package simhost

import "slices"

// stackPointer is the local in which a function of Go keeps the pointer to its
// part of the stack. Other functions have it from the first global.
const stackPointer = 1

// A set is of accesses and calls that begin at one address: at a value of the
// stack pointer, wherever they are, and at others without a jump in between.
type set struct {
	end   uint64 // of the access that goes furthest
	n     int    // of accesses
	calls int
}

// A target is where branches lead.
type target struct {
	branches int
	table    bool    // one of them is the table
	known    []known // at the last
}

// A known is what is known of an address.
type known struct {
	of    uint64 // a local, or an address of 64 bits (see wide)
	set   int
	line  int
	end   uint64 // as far as this it has been checked
	ready bool   // it has been checked for all of its set
}

// wide is an address of 64 bits in a local or global.
func wide(n uint64, global bool) uint64 {
	if n |= 1 << 32; global {
		n |= 1 << 33
	}
	return n
}

const firstGlobal = 1<<32 | 1<<33

// A frame is a block that is open.
type frame struct {
	op     byte
	label  *target
	before []known // an if
	dead   bool    // before it
}

// A pass goes through a function twice and keeps what is known of addresses, as
// wazero does it: along the only way that leads to an instruction. The first time it
// collects which accesses belong together, the second time it writes.
//
//   - Accesses from one value of the stack pointer belong together. The first checks
//     as far as all of them go.
//   - So do others, if no jump is between them: behind one, the address may be
//     another thing. It has 64 bits and is cut to 32 once for all of them, even
//     behind jumps, and kept in a local.
//   - A call pushes the place to return to. Where accesses and calls begin from one
//     stack pointer, all go from the address of that place, 8 bytes below.
//
// What is checked too early is inside in any program that works: the stack of a
// function is, and accesses without a jump in between are made all or none.
type pass struct {
	*function
	write bool

	known []known
	dead  bool // nothing leads here
	open  []frame
	line  int // how many instructions so far may have led elsewhere
	begun int // sets
}

// count counts the branches to each block.
func (f *function) count() {
	f.labels = append(f.labels[:0], make([]target, len(f.tokens))...)
	var open []*target
	to := func(n uint64, table bool) {
		if n < uint64(len(open)) {
			l := open[len(open)-1-int(n)]
			l.branches++
			l.table = l.table || table
		}
	}
	for i := range f.tokens {
		switch t := &f.tokens[i]; t.op {
		case opBlock, opLoop, opIf:
			open = append(open, &f.labels[i])
		case opEnd:
			open = open[:max(0, len(open)-1)]
		case opBr, opBrIf:
			to(t.n, false)
		case opBrTable:
			for _, n := range t.table {
				to(n, true)
			}
		}
	}
}

// run makes a pass.
func (f *function) run(p *pass) {
	if !p.write {
		f.sets = f.sets[:0]
	} else {
		f.out, f.cut = f.out[:0], make(map[uint64]uint64)
	}
	for i := 0; i < len(f.tokens); {
		t := &f.tokens[i]
		p.flow(i, t)
		p.change(t)
		i += p.next(i, t)
	}
}

// flow follows the ways through the function.
func (p *pass) flow(i int, t *token) {
	switch t.op {
	case opBlock:
		p.open = append(p.open, frame{op: opBlock, label: &p.labels[i]})
	case opLoop:
		p.open = append(p.open, frame{op: opLoop, label: &p.labels[i]})
		p.known = nil
	case opIf:
		p.open = append(p.open, frame{op: opIf, label: &p.labels[i], before: slices.Clone(p.known), dead: p.dead})
	case opElse:
		f := &p.open[len(p.open)-1]
		f.op, p.known, p.dead = opElse, f.before, f.dead
	case opEnd:
		p.close()
	case opBr, opBrIf:
		if t.n < uint64(len(p.open)) && !p.dead {
			p.open[len(p.open)-1-int(t.n)].label.known = slices.Clone(p.known)
		}
		p.dead = p.dead || t.op == opBr
	case opBrTable, opReturn, opUnreachable:
		p.dead = true
	}
	if t.op <= opCallIndirect {
		p.line++
	}
}

// close ends a block. What is known behind it depends on what leads there.
func (p *pass) close() {
	if len(p.open) == 0 {
		return
	}
	f := p.open[len(p.open)-1]
	p.open = p.open[:len(p.open)-1]
	switch branches := f.label.branches; {
	case f.op == opLoop, f.op == opBlock && branches == 0:
		return // what was before its end
	case f.op == opBlock && branches == 1 && p.dead && !f.label.table:
		p.known = f.label.known
	case f.op == opIf && branches == 0 && p.dead:
		p.known, p.dead = f.before, f.dead
		return
	default:
		p.known = nil
	}
	p.dead = false
}

// change forgets addresses that are no longer what they were.
func (p *pass) change(t *token) {
	switch t.op {
	case opLocalSet, opLocalTee:
		p.forget(func(of uint64) bool { return of == t.n || of == wide(t.n, false) })
	case opGlobalSet:
		p.forget(func(of uint64) bool { return of == wide(t.n, true) })
	case opCall, opCallIndirect:
		p.forget(func(of uint64) bool { return of >= firstGlobal })
	}
}

func (p *pass) forget(which func(of uint64) bool) {
	p.known = slices.DeleteFunc(p.known, func(k known) bool { return which(k.of) })
}

// next handles the next tokens, and says how many.
func (p *pass) next(i int, t *token) int {
	switch {
	case p.dead:
		p.emit(*t)
	case t.op == opLocalGet && p.calls(i):
		return p.call(i)
	case t.op == opLocalGet && p.access[i] != 0:
		p.near(i, t)
	case i+1 < len(p.tokens) && p.tokens[i+1].op == opI32WrapI64 && (t.op == opLocalGet || t.op == opLocalTee || t.op == opGlobalGet):
		p.far(i, t)
		return 2
	default:
		p.emit(*t)
	}
	return 1
}

func (p *pass) emit(t ...token) {
	if p.write {
		p.out = append(p.out, t...)
	}
}

// about is what is known of an address, and whether that was anything.
func (p *pass) about(of uint64) (k *known, found bool) {
	for i := range p.known {
		if p.known[i].of == of {
			return &p.known[i], true
		}
	}
	p.known = append(p.known, known{of: of, set: p.set(), line: p.line})
	return &p.known[len(p.known)-1], false
}

// set begins a set of accesses.
func (p *pass) set() int {
	if !p.write {
		p.sets = append(p.sets, set{})
	}
	p.begun++
	return p.begun - 1
}

// local adds a local.
func (f *function) local() uint64 {
	f.added++
	return f.locals + f.added - 1
}

// look checks whether an address can be accessed up to an end: what is loaded
// is dropped.
func (p *pass) look(local, end uint64) {
	p.emit(made(opLocalGet, local), made(opI32Load8U, end-1), made(opDrop, 0))
}

// near is an access to an address that a local of 32 bits holds: the stack
// pointer, most of the time.
func (p *pass) near(i int, t *token) {
	k, _ := p.about(t.n)
	access := &p.tokens[p.access[i]]
	if !p.write {
		s := &p.sets[k.set]
		s.n, s.end = s.n+1, max(s.end, access.end())
		return
	}
	from, by := p.prepare(k, access.end())
	if by > 0 {
		access.n, access.raw = access.n+by, nil
	}
	p.emit(made(opLocalGet, from))
}

// lift is how far the stack pointer is above the place to return to of who is
// called.
const lift = 8

// prepare checks an address for all of its set, unless that is only one, of which
// the next access has the end given; a call that is next has 0. It returns the local
// from which to access it, and how far below the address that is.
func (p *pass) prepare(k *known, end uint64) (from, by uint64) {
	s := &p.sets[k.set]
	if s.n+s.calls < 2 {
		return k.of, 0
	}
	if from = k.of; s.calls > 0 {
		if p.below == 0 {
			p.below = p.local()
		}
		from, by = p.below, lift
	}
	if k.ready {
		return from, by
	}
	k.ready = true
	if by > 0 {
		p.emit(made(opLocalGet, k.of), made(opI32Const, by), made(opI32Sub, 0), made(opLocalSet, from))
	}
	if end < s.end {
		p.look(from, s.end+by)
	}
	return from, by
}

// calling are the instructions with which a call begins.
var calling = []byte{opLocalGet, opI32Const, opI32Sub, opLocalTee, opGlobalSet, opLocalGet, opI64Const, opI64Store}

// calls reports whether a call begins.
func (f *function) calls(i int) bool {
	if i+len(calling) > len(f.tokens) {
		return false
	}
	t := f.tokens[i : i+len(calling)]
	for k, op := range calling {
		if t[k].op != op {
			return false
		}
	}
	return t[0].n == stackPointer && t[1].n == lift && t[3].n == stackPointer && t[4].n == 0 && t[5].n == stackPointer && t[7].n == 0
}

// call is the begin of a call, and how many tokens that is.
func (p *pass) call(i int) int {
	t := p.tokens[i : i+len(calling)]
	k, _ := p.about(stackPointer)
	if !p.write {
		p.sets[k.set].calls++
	} else if from, by := p.prepare(k, 0); by > 0 {
		below := made(opLocalGet, from)
		p.emit(below, t[3], t[4], below, t[6], t[7])
	} else {
		p.emit(t...)
	}
	for k := range t {
		p.change(&t[k])
	}
	return len(t)
}

// far is an address of 64 bits, which is cut to 32.
func (p *pass) far(i int, t *token) {
	of := wide(t.n, t.op == opGlobalGet)
	k, found := p.about(of)
	if k.line != p.line {
		k.line, k.set = p.line, p.set()
	}
	access, end := p.access[i+1], uint64(0)
	if access != 0 {
		end = p.tokens[access].end()
	}
	s := &p.sets[k.set]
	if !p.write {
		s.end = max(s.end, end)
		return
	}
	if p.cut[of] == 0 {
		p.cut[of] = p.local()
	}
	local := p.cut[of]
	if found {
		p.emit(made(opLocalGet, local))
	} else {
		p.emit(*t, p.tokens[i+1], made(opLocalTee, local))
	}
	if k.end < end {
		if k.end = s.end; end < s.end {
			p.look(local, s.end)
		}
	}
}
