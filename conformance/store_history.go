package conformance

import (
	"fmt"

	"github.com/weirstream/weir/core/store"
)

// A history is a sequence of writes that is the same whenever it is made, so
// that what is found after a crash can be compared with what was done. Every
// step is one atomic write.
type history struct {
	// valueBytes is the size of the largest value.
	valueBytes int
	batch      store.Batch
}

const historyGeneration store.Generation = 1 << 40

func historySpaces() []store.Space { return []store.Space{spaceA(), spaceB()} }

// dropped reports whether step i drops space A instead of applying a batch.
func dropped(i int) bool { return i%37 == firstDrop }

const firstDrop = 36

// fill makes the batch of step i, counted from 1. Keys come again, are
// deleted and come back; the position of both spaces is i.
func (h *history) fill(i int) *store.Batch {
	h.batch.Reset()
	for s, sp := range historySpaces() {
		p := h.batch.Part(sp, historyGeneration)
		for j := range 6 {
			n := (i*7 + j*13 + s*5) % 64
			key := fmt.Appendf(nil, "%c key %d", n*4, n)
			if (i+j)%5 == 0 {
				p.Delete(key)
				continue
			}
			value := fmt.Appendf(nil, "step %d of space %d ", i, s)
			if (i+j)%3 == 0 {
				value = append(value, pattern((i*997+j*31)%(h.valueBytes+1))...)
			}
			p.Put(key, value)
		}
		p.Position = store.Position{
			Log: store.LogID{0: byte(s + 1)}, Changelog: int64(i), StreamTime: int64(1000 * i), At: int64(i), Exists: true,
			Inputs: []store.InputOffset{{Topic: "in", Partition: int32(s), Offset: int64(2 * i)}},
		}
	}
	return &h.batch
}

// do makes step i in a store that has both spaces open.
func (h *history) do(s store.Store, i int) error {
	if dropped(i) {
		return s.Drop(spaceA(), historyGeneration)
	}
	return s.Apply(h.fill(i))
}

// doFor makes what step i does to one of the spaces, in another generation.
func (h *history) doFor(s store.Store, i int, sp store.Space, gen store.Generation) error {
	if dropped(i) {
		if sp != spaceA() {
			return nil
		}
		return s.Drop(sp, gen)
	}
	var b store.Batch
	for _, from := range h.fill(i).Parts() {
		if from.Space == sp {
			to := b.Part(sp, gen)
			to.Position = from.Position
			addOps(from, to, anyOp)
		}
	}
	return s.Apply(&b)
}

// at returns what a space holds after step k.
func (h *history) at(k int, sp store.Space) *modelSpace {
	m := make(model)
	for i := 1; i <= k; i++ {
		h.redo(m, i)
	}
	return m.at(sp)
}

// redo makes step i in a model.
func (h *history) redo(m model, i int) {
	if dropped(i) {
		m.drop(spaceA())
		return
	}
	m.apply(h.fill(i))
}

// openHistory opens both spaces.
func openHistory(s store.Store) ([]store.Reader, []store.Position, error) {
	var rs []store.Reader
	var ps []store.Position
	for _, sp := range historySpaces() {
		r, pos, err := s.Open(sp, historyGeneration)
		if err != nil {
			return nil, nil, err
		}
		rs, ps = append(rs, r), append(ps, pos)
	}
	return rs, ps, nil
}

// prefix finds the number of steps after which a store is as it is now, among
// low to high, or says how the nearest guess differs.
func (h *history) prefix(s store.Store, low, high int) (int, error) {
	rs, ps, err := openHistory(s)
	if err != nil {
		return 0, err
	}
	m := make(model)
	var differs string
	for i := 0; i <= high; i++ {
		if i > 0 {
			h.redo(m, i)
		}
		if i < low {
			continue
		}
		same := true
		for j, sp := range historySpaces() {
			d, err := m.at(sp).difference(rs[j], ps[j])
			if err != nil {
				return 0, err
			}
			if d == "" {
				continue
			}
			same = false
			if int64(i) == ps[1].Changelog {
				differs = fmt.Sprintf("after %d steps %s should be otherwise: %s", i, sp, d)
			}
		}
		if same {
			return i, nil
		}
	}
	return 0, fmt.Errorf("the store holds no prefix of the writes between %d and %d steps; positions are %+v and %+v; %s", low, high, ps[0], ps[1], differs)
}
