package task

import "github.com/weirstream/weir/core/record"

// An outbox collects the output records of one epoch. Their bytes live in
// chunks that are used again once the epoch is over.
type outbox struct {
	records []record.Record
	arena   arena
	bytes   int
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
	o.bytes += len(r.Key) + len(r.Value) + 64
}

func (o *outbox) reset() {
	clear(o.records)
	o.records, o.bytes = o.records[:0], 0
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
	for a.at < len(a.chunks) && cap(a.chunks[a.at])-len(a.chunks[a.at]) < len(b) {
		a.at++
	}
	if a.at == len(a.chunks) {
		a.chunks = append(a.chunks, make([]byte, 0, max(chunkBytes, len(b))))
	}
	c := a.chunks[a.at]
	n := len(c)
	c = append(c, b...)
	a.chunks[a.at] = c
	return c[n:len(c):len(c)]
}

func (a *arena) reset() {
	for i := range a.chunks {
		a.chunks[i] = a.chunks[i][:0]
	}
	a.at = 0
}

// truncate forgets the records from the nth on.
func (o *outbox) truncate(n int) {
	for _, r := range o.records[n:] {
		o.bytes -= len(r.Key) + len(r.Value) + 64
	}
	clear(o.records[n:])
	o.records = o.records[:n]
}
