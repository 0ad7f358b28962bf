package task

import (
	"iter"

	"github.com/weirstream/weir/core/record"
	"github.com/weirstream/weir/core/store"
	"github.com/weirstream/weir/core/topology"
)

// A space is one partition of one table as the task sees it: the store, with
// the writes of the epoch in flight and of the current epoch over it.
type space struct {
	name      string
	id        store.Space
	reader    store.Reader
	changelog record.TopicPartition
	// pos is the position that the store has, writing the one that it has
	// when the epoch in flight was applied.
	pos, writing store.Position
	// cur takes writes; fly is the epoch in flight, or nil. What fly holds
	// does not change any more.
	cur, fly, spare *layer
	clean           *cache
	ahead           *ahead // nil when nothing is read ahead
	scratch         []byte
}

func newSpace(name string, partition int32, changelog string, r store.Reader, cacheBytes int) *space {
	return &space{
		name:      name,
		id:        store.Space{Table: name, Partition: partition},
		reader:    r,
		changelog: record.TopicPartition{Topic: changelog, Partition: partition},
		cur:       newLayer(),
		clean:     newCache(cacheBytes),
	}
}

// lookup finds a key in the overlay or the cache; nil means ask the store.
func (s *space) lookup(key []byte) *entry {
	if e := s.cur.byKey[string(key)]; e != nil {
		return e
	}
	if s.fly != nil {
		if e := s.fly.byKey[string(key)]; e != nil {
			return e
		}
	}
	return s.clean.get(key)
}

func (s *space) get(key, dst []byte) ([]byte, bool, error) {
	if e := s.lookup(key); e != nil {
		if e.ahead {
			e.ahead = false
			s.ahead.used++
		}
		if e.deleted {
			return dst, false, nil
		}
		return append(dst, e.value...), true, nil
	}
	if s.ahead != nil {
		s.ahead.missed(key)
	}
	n := len(dst)
	dst, found, err := s.reader.Get(key, dst)
	if err != nil {
		return dst[:n], false, err
	}
	if s.clean.max > 0 {
		e := &entry{key: string(key), deleted: !found}
		if found {
			e.value = append([]byte(nil), dst[n:]...)
		}
		s.clean.put(e)
	}
	return dst, found, nil
}

// write sets or deletes a key in the current epoch and notes how to undo it.
func (s *space) write(j *journal, key, value []byte, deleted bool) {
	e := s.cur.byKey[string(key)]
	if e == nil {
		e = s.cur.add(key)
		j.added(s, e)
	} else {
		j.changed(s, e)
	}
	s.cur.bytes -= e.cost()
	e.value, e.deleted = append(e.value[:0], value...), deleted
	s.cur.bytes += e.cost()
}

// scan merges the overlay into the store's order. It yields each key once, in
// ascending order, also when the table is written meanwhile; whether it sees
// such a write is not defined.
func (s *space) scan(from, to []byte) iter.Seq2[topology.Entry, error] {
	return func(yield func(topology.Entry, error) bool) {
		m := merge{s: s, next: append([]byte(nil), from...), to: to}
		for stored, err := range s.reader.Scan(from, to) {
			if err != nil {
				yield(topology.Entry{}, err)
				return
			}
			if !m.emitBelow(stored.Key, yield) {
				return
			}
			if m.shadows(stored.Key) {
				continue
			}
			m.pass(stored.Key)
			if !yield(topology.Entry(stored), nil) {
				return
			}
		}
		m.emitBelow(nil, yield)
	}
}

// A merge walks the overlay in key order beside a scan of the store.
type merge struct {
	s     *space
	next  []byte // keys before it were passed
	after bool   // next itself was passed
	to    []byte
}

// head returns the overlay's next entry, the newest epoch winning.
func (m *merge) head() *entry {
	e := m.s.cur.from(m.next, m.after)
	if m.s.fly != nil {
		if f := m.s.fly.from(m.next, m.after); f != nil && (e == nil || f.key < e.key) {
			e = f
		}
	}
	if e != nil && m.to != nil && e.key >= string(m.to) {
		return nil
	}
	return e
}

// pass notes that a key was yielded.
func (m *merge) pass(key []byte) { m.next, m.after = append(m.next[:0], key...), true }

// emitBelow yields overlay entries before limit; nil means no limit.
func (m *merge) emitBelow(limit []byte, yield func(topology.Entry, error) bool) bool {
	for {
		e := m.head()
		if e == nil || limit != nil && e.key >= string(limit) {
			return true
		}
		key := []byte(e.key)
		m.pass(key)
		if e.deleted {
			continue
		}
		if !yield(topology.Entry{Key: key, Value: e.value}, nil) {
			return false
		}
	}
}

// shadows reports whether the overlay has its own word on a stored key, and
// lets emitBelow say it at its place.
func (m *merge) shadows(key []byte) bool {
	e := m.head()
	return e != nil && e.key == string(key)
}

// seal makes the current epoch the one in flight.
func (s *space) seal() {
	s.fly = s.cur
	s.cur = s.spare
	s.spare = nil
	if s.cur == nil {
		s.cur = newLayer()
	}
}

// applied moves the epoch in flight, which the store now holds, to the cache.
func (s *space) applied() {
	if s.fly == nil {
		return
	}
	if s.writing.Exists {
		s.pos, s.writing = s.writing, store.Position{}
	}
	for _, e := range s.fly.order {
		s.clean.put(e)
	}
	s.fly.reset()
	s.spare, s.fly = s.fly, nil
}

// abort drops both epochs.
func (s *space) abort() {
	s.cur.reset()
	s.fly = nil
	s.writing = store.Position{}
}
