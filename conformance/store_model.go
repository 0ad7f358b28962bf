package conformance

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/weirstream/weir/core/store"
)

// A model is what a store must hold: plain maps, nothing shared with any
// adapter.
type model map[store.Space]*modelSpace

type modelSpace struct {
	entries  map[string]string
	position store.Position
}

func (m model) at(sp store.Space) *modelSpace {
	s := m[sp]
	if s == nil {
		s = &modelSpace{entries: make(map[string]string)}
		m[sp] = s
	}
	return s
}

func (m model) apply(b *store.Batch) {
	for _, p := range b.Parts() {
		s := m.at(p.Space)
		for _, op := range p.Ops {
			if op.Value == nil {
				delete(s.entries, string(op.Key))
			} else {
				s.entries[string(op.Key)] = string(op.Value)
			}
		}
		if p.Position.Exists {
			s.position = clonePosition(p.Position)
		}
	}
}

func (m model) drop(sp store.Space) { delete(m, sp) }

func clonePosition(p store.Position) store.Position {
	p.Inputs = slices.Clone(p.Inputs)
	return p
}

// keys returns the keys in range, in order.
func (s *modelSpace) keys(from, to []byte) []string {
	var in []string
	for _, k := range slices.Sorted(maps.Keys(s.entries)) {
		if k >= string(from) && (to == nil || k < string(to)) {
			in = append(in, k)
		}
	}
	return in
}

func samePosition(a, b store.Position) bool {
	if !a.Exists || !b.Exists {
		return a.Exists == b.Exists
	}
	return a.Log == b.Log && a.Changelog == b.Changelog && a.StreamTime == b.StreamTime && a.At == b.At && slices.Equal(a.Inputs, b.Inputs)
}

// difference says how a space and its model differ, or nothing.
func (s *modelSpace) difference(r store.Reader, pos store.Position) (string, error) {
	if !samePosition(pos, s.position) {
		return fmt.Sprintf("position is %+v, want %+v", pos, s.position), nil
	}
	if d, err := s.scanDifference(r, nil, nil); d != "" || err != nil {
		return d, err
	}
	multi, ok := r.(store.MultiReader)
	if ok {
		if d, err := s.multiDifference(multi); d != "" || err != nil {
			return d, err
		}
	}
	asked := 0
	for k, v := range s.entries {
		if asked++; ok && asked > getsBesideMulti {
			break
		}
		got, found, err := r.Get([]byte(k), nil)
		if err != nil {
			return "", err
		}
		if d := entryDifference("Get", k, v, got, found); d != "" {
			return d, nil
		}
	}
	return "", nil
}

// getsBesideMulti is how many keys are also asked for one by one, at random,
// where all were asked for at once: there each of them may cost a round trip.
const getsBesideMulti = 4

// multiDifference asks for all keys, and for one that is absent, at once.
func (s *modelSpace) multiDifference(r store.MultiReader) (string, error) {
	var keys [][]byte
	for k := range s.entries {
		keys = append(keys, []byte(k))
	}
	const absent = "\xffno key of any check"
	keys = append(keys, []byte(absent))
	told, d := 0, ""
	err := r.GetMulti(keys, func(i int, value []byte, found bool) {
		told++
		switch k := string(keys[i]); {
		case d != "":
		case k != absent:
			d = entryDifference("GetMulti", k, s.entries[k], value, found)
		case found:
			d = fmt.Sprintf("GetMulti finds the absent key %.40q", k)
		}
	})
	if err == nil && d == "" && told != len(keys) {
		d = fmt.Sprintf("GetMulti told of %d of %d keys", told, len(keys))
	}
	return d, err
}

func entryDifference(what, key, want string, got []byte, found bool) string {
	switch {
	case !found:
		return fmt.Sprintf("key %.40q is scanned but %s does not find it", key, what)
	case string(got) != want:
		return fmt.Sprintf("key %.40q is %.40q by %s, want %.40q", key, got, what, want)
	default:
		return ""
	}
}

func (s *modelSpace) scanDifference(r store.Reader, from, to []byte) (string, error) {
	want := s.keys(from, to)
	i := 0
	for e, err := range r.Scan(from, to) {
		if err != nil {
			return "", err
		}
		if i == len(want) {
			return fmt.Sprintf("scan from %.40q to %.40q yields %.40q after its %d entries", from, to, e.Key, i), nil
		}
		if string(e.Key) != want[i] {
			return fmt.Sprintf("scan from %.40q to %.40q: entry %d has key %.40q, want %.40q", from, to, i, e.Key, want[i]), nil
		}
		if string(e.Value) != s.entries[want[i]] {
			return fmt.Sprintf("scan from %.40q to %.40q: key %.40q is %.40q, want %.40q", from, to, e.Key, e.Value, s.entries[want[i]]), nil
		}
		i++
	}
	if i < len(want) {
		return fmt.Sprintf("scan from %.40q to %.40q ends after %d entries, want %d; the next is %.40q", from, to, i, len(want), want[i]), nil
	}
	return "", nil
}

// mustEqual fails the check unless the space is as the model says.
func (s *modelSpace) mustEqual(tb TB, what string, r store.Reader, pos store.Position) {
	tb.Helper()
	d, err := s.difference(r, pos)
	if err != nil {
		tb.Fatalf("%s: %v", what, err)
	}
	if d != "" {
		tb.Fatalf("%s: %s", what, d)
	}
}

// A fixture is a place with an open store, for checks that need no more.
type fixture struct {
	tb    TB
	place StorePlace
	store store.Store
	model model
}

func newFixture(tb TB, f StoreFactory) *fixture {
	tb.Helper()
	fx := &fixture{tb: tb, place: f.New(tb), model: make(model)}
	fx.open()
	return fx
}

func (fx *fixture) open() {
	fx.tb.Helper()
	fx.store = mustOpen(fx.tb, fx.place)
}

func mustOpen(tb TB, p StorePlace) store.Store {
	tb.Helper()
	s, err := p.Open()
	if err != nil {
		tb.Fatalf("opening the store: %v", err)
	}
	tb.Cleanup(func() { _ = s.Close() })
	return s
}

// space opens a space and expects it to be as the model says.
func (fx *fixture) space(sp store.Space, gen store.Generation) store.Reader {
	fx.tb.Helper()
	r, pos, err := fx.store.Open(sp, gen)
	if err != nil {
		fx.tb.Fatalf("opening %s in generation %d: %v", sp, gen, err)
	}
	fx.model.at(sp).mustEqual(fx.tb, fmt.Sprintf("%s when opened", sp), r, pos)
	return r
}

// apply writes a batch to the store and to the model.
func (fx *fixture) apply(fill func(b *store.Batch)) {
	fx.tb.Helper()
	var b store.Batch
	fill(&b)
	if err := fx.store.Apply(&b); err != nil {
		fx.tb.Fatalf("applying a batch: %v", err)
	}
	fx.model.apply(&b)
}

// put writes one key, in generation gen, without a position.
func (fx *fixture) put(sp store.Space, gen store.Generation, key, value string) {
	fx.tb.Helper()
	fx.apply(func(b *store.Batch) { b.Part(sp, gen).Put([]byte(key), []byte(value)) })
}

// unchanged opens the space again, in the same generation, and compares.
func (fx *fixture) unchanged(what string, sp store.Space, gen store.Generation) {
	fx.tb.Helper()
	r, pos, err := fx.store.Open(sp, gen)
	if err != nil {
		fx.tb.Fatalf("%s: opening %s again: %v", what, sp, err)
	}
	fx.model.at(sp).mustEqual(fx.tb, what, r, pos)
}

func mustGet(tb TB, r store.Reader, key, want string) {
	tb.Helper()
	v, found, err := r.Get([]byte(key), nil)
	if err != nil || !found || string(v) != want {
		tb.Fatalf("key %.40q is %.40q, %v, %v; want %.40q", key, v, found, err, want)
	}
}

func mustLack(tb TB, r store.Reader, key string) {
	tb.Helper()
	dst := []byte("dst")
	v, found, err := r.Get([]byte(key), dst)
	if err != nil || found || !bytes.Equal(v, dst) {
		tb.Fatalf("absent key %.40q gives %.40q, %v, %v; want dst as it was and false", key, v, found, err)
	}
}

func mustFail(tb TB, what string, err, want error) {
	tb.Helper()
	if !errors.Is(err, want) {
		tb.Fatalf("%s gives %v, want an error that is %q", what, err, want)
	}
}

// mustFailReading expects a reader to be ended with want.
func mustFailReading(tb TB, what string, r store.Reader, want error) {
	tb.Helper()
	_, found, err := r.Get([]byte("key"), nil)
	if found {
		tb.Fatalf("%s: Get serves data", what)
	}
	mustFail(tb, what+": Get", err, want)
	mustFail(tb, what+": Scan", scanError(tb, what, r), want)
}

// scanError expects a scan to yield nothing but an error.
func scanError(tb TB, what string, r store.Reader) error {
	tb.Helper()
	var last error
	for e, err := range r.Scan(nil, nil) {
		if err == nil || e.Key != nil {
			tb.Fatalf("%s: Scan serves data, key %.40q", what, e.Key)
		}
		if last != nil {
			tb.Fatalf("%s: Scan goes on after an error", what)
		}
		last = err
	}
	return last
}
