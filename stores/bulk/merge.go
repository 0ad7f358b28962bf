package bulk

import (
	"container/heap"
	"errors"
)

// A merger is the source of several sources: of entries with the same key it
// yields the youngest.
type merger struct {
	heads []head // a heap
	files []*frameReader
	last  *head // whose entry was yielded and has to move on
}

// A head is the next entry of a source.
type head struct {
	entry
	from source
	age  int // younger sources have larger ones
}

// merge opens files, older ones first, and merges them, with what is in
// memory as the youngest.
func (s *Sorter) merge(files []file, memory source) (*merger, error) {
	m := &merger{}
	var sources []source
	for _, f := range files {
		r, err := s.fs.Open(f.name)
		if err != nil {
			return nil, errors.Join(err, m.close())
		}
		fr := &frameReader{r: r}
		m.files = append(m.files, fr)
		sources = append(sources, fr)
	}
	if memory != nil {
		sources = append(sources, memory)
	}
	for age, src := range sources {
		h := head{from: src, age: age}
		ok, err := h.advance()
		if err != nil {
			return nil, errors.Join(err, m.close())
		}
		if ok {
			m.heads = append(m.heads, h)
		}
	}
	heap.Init(m)
	return m, nil
}

func (h *head) advance() (ok bool, err error) {
	h.entry, ok, err = h.from.next()
	return ok, err
}

func (m *merger) close() error {
	var errs []error
	for _, f := range m.files {
		errs = append(errs, f.r.Close())
	}
	m.files = nil
	return errors.Join(errs...)
}

// next implements source. The heap's top stays where it is until the next
// call, because its entry lies in the buffer of its source.
func (m *merger) next() (entry, bool, error) {
	if err := m.pass(); err != nil {
		return entry{}, false, err
	}
	if len(m.heads) == 0 {
		return entry{}, false, nil
	}
	m.last = &m.heads[0]
	return m.last.entry, true, nil
}

// pass moves every source on that is at the key which was yielded. The top is
// the youngest, so the others follow it.
func (m *merger) pass() error {
	if m.last == nil {
		return nil
	}
	top := m.last.entry
	m.last = nil
	// The older ones first: moving the top on would overwrite its key.
	for len(m.heads) > 1 {
		i := m.second()
		h := &m.heads[i]
		if compareKeys(h.prefix, h.key, top.prefix, top.key) != 0 {
			break
		}
		if err := m.step(i); err != nil {
			return err
		}
	}
	return m.step(0)
}

// second is the index of the smallest head but one.
func (m *merger) second() int {
	if len(m.heads) > 2 && m.Less(2, 1) {
		return 2
	}
	return 1
}

// step moves one source on.
func (m *merger) step(i int) error {
	ok, err := m.heads[i].advance()
	if err != nil {
		return err
	}
	if ok {
		heap.Fix(m, i)
	} else {
		heap.Remove(m, i)
	}
	return nil
}

// Len implements heap.Interface.
func (m *merger) Len() int { return len(m.heads) }

// Less implements heap.Interface: by key, the youngest first.
func (m *merger) Less(i, j int) bool {
	a, b := &m.heads[i], &m.heads[j]
	if c := compareKeys(a.prefix, a.key, b.prefix, b.key); c != 0 {
		return c < 0
	}
	return a.age > b.age
}

// Swap implements heap.Interface.
func (m *merger) Swap(i, j int) { m.heads[i], m.heads[j] = m.heads[j], m.heads[i] }

// Push implements heap.Interface; the heap never grows.
func (m *merger) Push(any) { panic("bulk: a merge does not grow") }

// Pop implements heap.Interface.
func (m *merger) Pop() any {
	n := len(m.heads) - 1
	m.heads = m.heads[:n]
	return nil
}
