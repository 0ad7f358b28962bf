package task

import "github.com/weirstream/weir/core/record"

// An outbox collects the output records of one epoch. Their bytes live in
// chunks that are used again once the epoch is over.
type outbox struct {
	records []record.Record
	arena   arena
	bytes   int             // what the records are counted as
	changes []record.Record // the changelog records of the epoch
}

func (o *outbox) add(r record.Record) {
	r.Key, r.Value = o.arena.copy(r.Key), o.arena.copy(r.Value)
	if len(r.Headers) > 0 {
		hs := make([]record.Header, len(r.Headers))
		for i, h := range r.Headers {
			hs[i] = record.Header{Key: h.Key, Value: o.arena.copy(h.Value)}
		}
		r.Headers = hs
	}
	o.records = append(o.records, r)
	o.bytes += outputCost(&r)
}

func (o *outbox) reset() {
	clear(o.records)
	o.records, o.bytes = o.records[:0], 0
	clear(o.changes)
	o.changes = o.changes[:0]
	o.arena.reset()
}

// An arena hands out byte slices that live until reset.
type arena struct {
	chunks [][]byte
	at     int
}

const chunkBytes = 64 << 10

// copy returns a copy of b; nil stays nil and empty stays empty.
func (a *arena) copy(b []byte) []byte {
	if len(b) == 0 {
		return b[:len(b):len(b)]
	}
	dst := a.alloc(len(b))
	copy(dst, b)
	return dst
}

// copyString is copy from a string; it is never nil.
func (a *arena) copyString(s string) []byte {
	if s == "" {
		return []byte{}
	}
	dst := a.alloc(len(s))
	copy(dst, s)
	return dst
}

// alloc returns n bytes, whatever is in them.
func (a *arena) alloc(n int) []byte {
	for a.at < len(a.chunks) && cap(a.chunks[a.at])-len(a.chunks[a.at]) < n {
		a.at++
	}
	if a.at == len(a.chunks) {
		a.chunks = append(a.chunks, make([]byte, 0, max(chunkBytes, n)))
	}
	c := a.chunks[a.at]
	at := len(c)
	c = c[:at+n]
	a.chunks[a.at] = c
	return c[at : at+n : at+n]
}

func (a *arena) reset() {
	for i := range a.chunks {
		a.chunks[i] = a.chunks[i][:0]
	}
	a.at = 0
}

// An outMark is how far an outbox was filled.
type outMark struct {
	records int
	bytes   int
	chunk   int // the arena's chunk, and how much of it
	fill    int
}

func (o *outbox) mark() outMark {
	m := outMark{records: len(o.records), bytes: o.bytes, chunk: o.arena.at}
	if m.chunk < len(o.arena.chunks) {
		m.fill = len(o.arena.chunks[m.chunk])
	}
	return m
}

// truncate forgets what was added since m, its bytes too: a record may be
// tried again for as long as its policy says.
func (o *outbox) truncate(m outMark) {
	clear(o.records[m.records:])
	o.records, o.bytes = o.records[:m.records], m.bytes
	for i := m.chunk; i < len(o.arena.chunks); i++ {
		o.arena.chunks[i] = o.arena.chunks[i][:0]
	}
	if m.chunk < len(o.arena.chunks) {
		o.arena.chunks[m.chunk] = o.arena.chunks[m.chunk][:m.fill]
	}
	o.arena.at = m.chunk
}
