package store

// A Batch collects writes to any number of spaces. It owns its bytes: Put and
// Delete copy what they are given. Reset makes it ready for reuse without
// giving the memory of its writes back, of their bytes at most arenaBytes for
// each space.
type Batch struct {
	parts []Part
	n     int
	index map[Space]int
}

// A Part is the share of one space in a batch.
type Part struct {
	Space      Space
	Generation Generation
	Ops        []Op
	Position   Position // written iff Position.Exists
	arena      []byte
}

// An Op is one write. A nil Value deletes; an empty one does not.
type Op struct {
	Key, Value []byte
}

// Part returns the share of a space, adding it when it is new; the generation
// of an existing share is left alone. The pointer is valid until the next Part
// or Reset.
func (b *Batch) Part(sp Space, gen Generation) *Part {
	if i, ok := b.index[sp]; ok {
		return &b.parts[i]
	}
	if b.index == nil {
		b.index = make(map[Space]int)
	}
	if b.n == len(b.parts) {
		b.parts = append(b.parts, Part{})
	}
	p := &b.parts[b.n]
	*p = Part{Space: sp, Generation: gen, Ops: p.Ops[:0], arena: p.arena[:0]}
	b.index[sp] = b.n
	b.n++
	return p
}

// Parts returns the shares in the order in which they were added. The slice
// and what it holds are valid until Reset.
func (b *Batch) Parts() []Part { return b.parts[:b.n] }

// Empty reports whether the batch writes nothing, no position either.
func (b *Batch) Empty() bool {
	for i := range b.Parts() {
		if len(b.parts[i].Ops) > 0 || b.parts[i].Position.Exists {
			return false
		}
	}
	return true
}

// Reset empties the batch.
func (b *Batch) Reset() {
	b.n = 0
	clear(b.index)
}

// Put adds a write of key and value; a nil value is taken as empty.
func (p *Part) Put(key, value []byte) {
	v := p.copy(value)
	if v == nil {
		v = []byte{}
	}
	p.Ops = append(p.Ops, Op{p.copy(key), v})
}

// Delete adds the removal of key.
func (p *Part) Delete(key []byte) { p.Ops = append(p.Ops, Op{p.copy(key), nil}) }

// arenaBytes bounds the buffers that the bytes of writes are copied to: with
// buffers that grow and grow, half of a large batch would be room that nobody
// uses.
const arenaBytes = 256 << 10

func (p *Part) copy(b []byte) []byte {
	if len(b) == 0 {
		return []byte{}
	}
	if cap(p.arena)-len(p.arena) < len(b) {
		p.arena = make([]byte, 0, max(4096, min(2*cap(p.arena), arenaBytes), len(b)))
	}
	n := len(p.arena)
	p.arena = append(p.arena, b...)
	return p.arena[n:len(p.arena):len(p.arena)]
}
