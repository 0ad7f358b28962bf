package conformance

import (
	"bytes"
	"iter"
	"os"
	"slices"
	"sync"
	"testing"

	"github.com/weirstream/weir/core/store"
)

// StoreFaults shows that the suite is worth something over an adapter: it
// plants one bug after another around the adapter's stores and expects the
// suite to find each. A bug that only checks without their capability could
// find is skipped by name.
func StoreFaults(t *testing.T, f StoreFactory) {
	t.Helper()
	f.test = t.Name()
	for _, fault := range storeFaults() {
		if os.Getenv(faultVariable) == fault.name {
			runKillChild(fault.plant(f))
		}
	}
	for _, fault := range storeFaults() {
		t.Run(fault.name, func(t *testing.T) {
			t.Parallel()
			fault.mustBeFound(t, f, 1)
		})
	}
}

// A storeFault is a planted bug. Fields that are nil change nothing.
type storeFault struct {
	name string
	// by are checks that find it, each by itself: over an adapter the first
	// one whose needs are declared is enough, the suite's own tests run all.
	by     []string
	open   func(s *faultyStore, sp store.Space, gen store.Generation) (store.Reader, store.Position, error)
	apply  func(s *faultyStore, b *store.Batch) error
	drop   func(s *faultyStore, sp store.Space, gen store.Generation) error
	close  func(s *faultyStore) error
	reader func(r store.Reader) store.Reader
	loader func(s *faultyStore, sp store.Space, gen store.Generation, l store.Loader) store.Loader
}

// mustBeFound runs checks that are for the bug, as many as are enough.
func (d *storeFault) mustBeFound(t *testing.T, f StoreFactory, enough int) {
	t.Helper()
	f = d.plant(f)
	found := 0
	for _, c := range StoreChecks() {
		if !slices.Contains(d.by, c.Name) || slices.ContainsFunc(c.Needs, func(n Capability) bool { return !f.Has(n) }) {
			continue
		}
		r := Record(c.Name, func(tb TB) { c.Run(tb, f) })
		if r.Skipped() {
			continue
		}
		if !r.Failed() {
			t.Errorf("%s does not find it", c.Name)
			return
		}
		m := r.Messages()
		t.Logf("%s: %.300s", c.Name, m[len(m)-1])
		if found++; found == enough {
			return
		}
	}
	if found > 0 {
		return
	}
	t.Skipf("%s lacks what the checks that find it need: %q", f.Name, d.by)
}

// plant returns a factory of stores with the bug.
func (d *storeFault) plant(f StoreFactory) StoreFactory {
	place, open := f.New, f.OpenDir
	f.fault = d.name
	f.New = func(tb TB) StorePlace { return d.around(place(tb)) }
	if open != nil {
		f.OpenDir = func(dir string) (store.Store, error) {
			return d.around(StorePlace{Open: func() (store.Store, error) { return open(dir) }}).Open()
		}
	}
	return f
}

func (d *storeFault) around(p StorePlace) StorePlace {
	open, hasty, crash := p.Open, p.OpenHasty, p.Crash
	kept := &faultyPlace{spaces: make(map[store.Space]*faultySpace)}
	p.Open = func() (store.Store, error) { return d.over(kept, open) }
	if hasty != nil {
		p.OpenHasty = func() (store.Store, error) { return d.over(kept, hasty) }
	}
	if crash != nil {
		p.Crash = func(seed uint64) StorePlace { return d.around(crash(seed)) }
	}
	return p
}

func (d *storeFault) over(kept *faultyPlace, open func() (store.Store, error)) (store.Store, error) {
	s, err := open()
	if err != nil {
		return nil, err
	}
	f := &faultyStore{Store: s, does: d, place: kept, newest: make(map[store.Space]store.Generation)}
	if _, ok := s.(store.BulkLoader); ok {
		return &faultyLoads{f}, nil
	}
	return f, nil
}

// A faultyPlace is what bugs remember of a place from one store to the next.
type faultyPlace struct {
	mu     sync.Mutex
	spaces map[store.Space]*faultySpace
}

type faultySpace struct {
	last, deleted map[string][]byte
	position      store.Position
}

// space calls f with what is remembered of a space.
func (p *faultyPlace) space(sp store.Space, f func(*faultySpace)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	s := p.spaces[sp]
	if s == nil {
		s = &faultySpace{last: make(map[string][]byte), deleted: make(map[string][]byte)}
		p.spaces[sp] = s
	}
	f(s)
}

// note remembers a part that was applied.
func (s *faultySpace) note(p *store.Part) {
	for _, op := range p.Ops {
		key := string(op.Key)
		if op.Value != nil {
			s.last[key] = bytes.Clone(op.Value)
			delete(s.deleted, key)
		} else if v, ok := s.last[key]; ok {
			s.deleted[key] = v
		}
	}
	if p.Position.Exists {
		s.position = clonePosition(p.Position)
	}
}

// A faultyStore is an adapter's store with a bug.
type faultyStore struct {
	store.Store

	does  *storeFault
	place *faultyPlace

	mu     sync.Mutex
	newest map[store.Space]store.Generation
}

func (s *faultyStore) Open(sp store.Space, gen store.Generation) (store.Reader, store.Position, error) {
	open := (*faultyStore).openRight
	if s.does.open != nil {
		open = s.does.open
	}
	r, pos, err := open(s, sp, gen)
	if err == nil && s.does.reader != nil {
		r = s.does.reader(r)
	}
	return r, pos, err
}

func (s *faultyStore) openRight(sp store.Space, gen store.Generation) (store.Reader, store.Position, error) {
	s.mu.Lock()
	s.newest[sp] = max(s.newest[sp], gen)
	s.mu.Unlock()
	return s.Store.Open(sp, gen)
}

// first reports whether this store never opened the space.
func (s *faultyStore) first(sp store.Space) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, ok := s.newest[sp]
	return !ok
}

func (s *faultyStore) newestOf(sp store.Space, gen store.Generation) store.Generation {
	s.mu.Lock()
	defer s.mu.Unlock()
	return max(s.newest[sp], gen)
}

// applyNoting remembers what was applied.
func (s *faultyStore) applyNoting(b *store.Batch) error {
	err := s.Store.Apply(b)
	if err == nil {
		for _, p := range b.Parts() {
			s.place.space(p.Space, func(f *faultySpace) { f.note(&p) })
		}
	}
	return err
}

func (s *faultyStore) Apply(b *store.Batch) error {
	if s.does.apply != nil {
		return s.does.apply(s, b)
	}
	return s.Store.Apply(b)
}

func (s *faultyStore) Drop(sp store.Space, gen store.Generation) error {
	if s.does.drop != nil {
		return s.does.drop(s, sp, gen)
	}
	return s.Store.Drop(sp, gen)
}

func (s *faultyStore) Close() error {
	if s.does.close != nil {
		return s.does.close(s)
	}
	return s.Store.Close()
}

// faultyLoads is a faulty store that loads in bulk.
type faultyLoads struct{ *faultyStore }

func (s *faultyLoads) Load(sp store.Space, gen store.Generation, memory int) (store.Loader, error) {
	l, err := s.Store.(store.BulkLoader).Load(sp, gen, memory)
	if err != nil || s.does.loader == nil {
		return l, err
	}
	return s.does.loader(s.faultyStore, sp, gen, l), nil
}

// A faultyReader replaces what a reader scans or gets.
type faultyReader struct {
	store.Reader

	scan func(r store.Reader, from, to []byte) iter.Seq2[store.Entry, error]
	get  func(r store.Reader, key, dst []byte) ([]byte, bool, error)
}

func (s faultyReader) Scan(from, to []byte) iter.Seq2[store.Entry, error] {
	if s.scan == nil {
		return s.Reader.Scan(from, to)
	}
	return s.scan(s.Reader, from, to)
}

func (s faultyReader) Get(key, dst []byte) ([]byte, bool, error) {
	if s.get == nil {
		return s.Reader.Get(key, dst)
	}
	return s.get(s.Reader, key, dst)
}

// A faultyLoader replaces what a loader does.
type faultyLoader struct {
	store.Loader

	add    func(l store.Loader, key, value []byte) error
	commit func(l store.Loader, p store.Position) error
}

func (l *faultyLoader) Add(key, value []byte) error {
	if l.add == nil {
		return l.Loader.Add(key, value)
	}
	return l.add(l.Loader, key, value)
}

func (l *faultyLoader) Commit(p store.Position) error {
	if l.commit == nil {
		return l.Loader.Commit(p)
	}
	return l.commit(l.Loader, p)
}

// partsOf returns a batch in which change made each part anew.
func partsOf(b *store.Batch, change func(from store.Part, to *store.Part)) *store.Batch {
	var out store.Batch
	for _, p := range b.Parts() {
		change(p, out.Part(p.Space, p.Generation))
	}
	return &out
}

func addOps(from store.Part, to *store.Part, keep func(op store.Op) bool) {
	for _, op := range from.Ops {
		switch {
		case !keep(op):
		case op.Value == nil:
			to.Delete(op.Key)
		default:
			to.Put(op.Key, op.Value)
		}
	}
}

func anyOp(store.Op) bool { return true }

// scanSigned orders keys as C's signed chars would.
func scanSigned(r store.Reader, from, to []byte) iter.Seq2[store.Entry, error] {
	return func(yield func(store.Entry, error) bool) {
		var all []store.Entry
		for e, err := range r.Scan(from, to) {
			if err != nil {
				yield(e, err)
				return
			}
			all = append(all, store.Entry{Key: bytes.Clone(e.Key), Value: bytes.Clone(e.Value)})
		}
		slices.SortStableFunc(all, func(a, b store.Entry) int {
			return slices.CompareFunc(a.Key, b.Key, func(x, y byte) int { return int(int8(x)) - int(int8(y)) })
		})
		for _, e := range all {
			if !yield(e, nil) {
				return
			}
		}
	}
}

// scanLive begins anew behind each key, as a cursor without a snapshot does.
func scanLive(r store.Reader, from, to []byte) iter.Seq2[store.Entry, error] {
	return func(yield func(store.Entry, error) bool) {
		for {
			more := false
			for e, err := range r.Scan(from, to) {
				if !yield(e, err) || err != nil {
					return
				}
				from, more = append(bytes.Clone(e.Key), 0), true
				break
			}
			if !more {
				return
			}
		}
	}
}
