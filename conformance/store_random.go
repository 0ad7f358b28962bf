package conformance

import (
	"fmt"

	"pgregory.net/rapid"

	"github.com/weirstream/weir/core/store"
)

// stepsOfRandom times rapid's number of checks, 100 unless told, is how many
// steps run in all.
const stepsOfRandom = 100

// checkRandom compares a store with a model over random steps. Keys are few
// and short, so that they meet.
func checkRandom(tb TB, f StoreFactory) {
	rapid.Check(tb, func(t *rapid.T) {
		tb := rapidTB{t, tb}
		m := &machine{fixture: newFixture(tb, f), t: t, can: f, owners: make(map[store.Space]owned)}
		defer func() { _ = m.store.Close() }()
		for range stepsOfRandom {
			m.step()
		}
		for _, sp := range machineSpaces() {
			m.space(sp, m.owners[sp].gen+1)
		}
	})
}

// rapidTB gives a property the temporary directories and cleanups of the
// check around it.
type rapidTB struct {
	*rapid.T
	outer TB
}

func (r rapidTB) Cleanup(f func()) { r.T.Cleanup(f) }
func (r rapidTB) TempDir() string  { return r.outer.TempDir() }

func machineSpaces() []store.Space {
	return []store.Space{{Table: "t"}, {Table: "t", Partition: 1}, {Table: "u"}}
}

type owned struct {
	gen    store.Generation
	open   bool
	reader store.Reader
}

// A machine makes random steps.
type machine struct {
	*fixture

	t      *rapid.T
	can    StoreFactory
	owners map[store.Space]owned
}

func (m *machine) step() {
	sp := rapid.SampledFrom(machineSpaces()).Draw(m.t, "space")
	o := m.owners[sp]
	if !o.open {
		m.take(sp)
		return
	}
	switch n := rapid.IntRange(0, 99).Draw(m.t, "step"); {
	case n < 40:
		m.write()
	case n < 55:
		m.get(sp, o)
	case n < 75:
		m.scan(sp, o)
	case n < 79:
		m.zombie(sp, o)
	case n < 84:
		m.take(sp)
	case n < 88:
		m.release(sp, o)
	case n < 90:
		m.dropSpace(sp, o)
	case n < 92:
		m.load(sp, o)
	case n < 96:
		if err := m.store.Flush(); err != nil {
			m.tb.Fatalf("flushing: %v", err)
		}
	default:
		m.restart()
	}
}

func drawKey(t *rapid.T, label string) []byte {
	return rapid.SliceOfN(rapid.SampledFrom([]byte{0x00, 0x01, 'a', 0xfe, 0xff}), 0, 4).Draw(t, label)
}

// write applies a batch to any of the open spaces.
func (m *machine) write() {
	m.apply(func(b *store.Batch) {
		for _, sp := range machineSpaces() {
			o := m.owners[sp]
			if !o.open || !rapid.Bool().Draw(m.t, "in batch") {
				continue
			}
			p := b.Part(sp, o.gen)
			for range rapid.IntRange(0, 8).Draw(m.t, "ops") {
				key := drawKey(m.t, "key")
				if rapid.IntRange(0, 3).Draw(m.t, "delete") == 0 {
					p.Delete(key)
				} else {
					p.Put(key, fmt.Appendf(nil, "%d", rapid.IntRange(0, 9).Draw(m.t, "value")))
				}
			}
			if rapid.Bool().Draw(m.t, "position") {
				p.Position = store.Position{Changelog: rapid.Int64Range(0, 1<<50).Draw(m.t, "changelog"), StreamTime: -1, Exists: true}
			}
		}
	})
}

func (m *machine) get(sp store.Space, o owned) {
	key := drawKey(m.t, "key")
	got, found, err := o.reader.Get(key, nil)
	want, exists := m.model.at(sp).entries[string(key)]
	if err != nil || found != exists || string(got) != want {
		m.tb.Fatalf("key %q of %s is %q, %v, %v; want %q, %v", key, sp, got, found, err, want, exists)
	}
}

func (m *machine) scan(sp store.Space, o owned) {
	var from, to []byte
	if rapid.Bool().Draw(m.t, "lower") {
		from = drawKey(m.t, "from")
	}
	if rapid.Bool().Draw(m.t, "upper") {
		to = drawKey(m.t, "to")
	}
	if d, err := m.model.at(sp).scanDifference(o.reader, from, to); d != "" || err != nil {
		m.tb.Fatalf("%s: %s %v", sp, d, err)
	}
}

// zombie writes in an older generation.
func (m *machine) zombie(sp store.Space, o owned) {
	gen := o.gen - store.Generation(rapid.IntRange(1, 3).Draw(m.t, "age"))
	mustFail(m.tb, "a batch of a zombie", m.store.Apply(putBatch(sp, gen, "zombie", "z")), store.ErrFenced)
	mustFail(m.tb, "a drop of a zombie", m.store.Drop(sp, gen), store.ErrFenced)
	_, _, err := m.store.Open(sp, gen)
	mustFail(m.tb, "an open of a zombie", err, store.ErrFenced)
	m.unchanged("after a zombie", sp, o.gen)
}

// take opens a space in this generation or a newer one.
func (m *machine) take(sp store.Space) {
	o := m.owners[sp]
	gen := o.gen + store.Generation(rapid.IntRange(0, 2).Draw(m.t, "newer"))
	r := m.space(sp, gen)
	if o.open && gen > o.gen {
		mustFailReading(m.tb, "a reader of an older generation", o.reader, store.ErrFenced)
	}
	m.owners[sp] = owned{gen: gen, open: true, reader: r}
}

func (m *machine) release(sp store.Space, o owned) {
	if err := m.store.Release(sp, o.gen); err != nil {
		m.tb.Fatalf("releasing: %v", err)
	}
	mustFailReading(m.tb, "a released reader", o.reader, store.ErrClosed)
	o.open = false
	m.owners[sp] = o
}

func (m *machine) dropSpace(sp store.Space, o owned) {
	if err := m.store.Drop(sp, o.gen); err != nil {
		m.tb.Fatalf("dropping: %v", err)
	}
	m.model.drop(sp)
	m.unchanged("after a drop", sp, o.gen)
}

// load fills a space in bulk, where the store can, or gives up half-way.
func (m *machine) load(sp store.Space, o owned) {
	s, ok := m.store.(store.BulkLoader)
	if !ok {
		m.dropSpace(sp, o)
		return
	}
	what := loadRandom(m.t)
	l, err := s.Load(sp, o.gen, loadMemory)
	if err != nil {
		m.tb.Fatalf("loading: %v", err)
	}
	m.model.drop(sp)
	if rapid.IntRange(0, 4).Draw(m.t, "give up") == 0 {
		if err := l.Add([]byte("k"), []byte("v")); err != nil {
			m.tb.Fatalf("adding: %v", err)
		}
		l.Abort()
	} else {
		if err := what.write(l); err != nil {
			m.tb.Fatalf("loading: %v", err)
		}
		m.model[sp] = what.model()
	}
	m.unchanged("after a load", sp, o.gen)
}

// restart closes the store and opens it again, where that keeps anything.
func (m *machine) restart() {
	if !m.can.Has(Reopens) {
		return
	}
	if err := m.store.Close(); err != nil {
		m.tb.Fatalf("closing: %v", err)
	}
	m.open()
	for _, sp := range machineSpaces() {
		o := m.owners[sp]
		m.owners[sp] = owned{gen: o.gen}
	}
}
