package aerospike

import (
	"errors"
	"fmt"
	"iter"
	"slices"
	"sync/atomic"

	"github.com/RaduBerinde/btreemap"
	as "github.com/aerospike/aerospike-client-go/v7"

	"github.com/weirstream/weir/core/store"
)

const (
	firstPage = 16
	lastPage  = 512
	pageBytes = 4 << 20
	multiPage = 4096
)

func minKey() btreemap.LowerBound[[]byte] { return btreemap.Min[[]byte]() }
func maxKey() btreemap.UpperBound[[]byte] { return btreemap.Max[[]byte]() }

// A reader reads a space on behalf of one owner.
type reader struct {
	store *Store
	space *space
	ended atomic.Pointer[error]
}

var _ store.MultiReader = (*reader)(nil)

// err says why the reader may not read, or nil.
func (r *reader) err() error {
	if p := r.ended.Load(); p != nil {
		return *p
	}
	return nil
}

// begin starts a call that Close waits for.
func (r *reader) begin() error {
	if err := r.err(); err != nil {
		return err
	}
	if err := r.store.begin(); err != nil {
		return fmt.Errorf("reading %s: %w", r.space.name, err)
	}
	return nil
}

// Get implements store.Reader: one read of one record, or more for a long
// value.
func (r *reader) Get(key, dst []byte) ([]byte, bool, error) {
	found := false
	err := r.GetMulti([][]byte{key}, func(_ int, value []byte, ok bool) {
		dst, found = append(dst, value...), ok
	})
	return dst, found, err
}

// GetMulti implements store.MultiReader.
func (r *reader) GetMulti(keys [][]byte, got func(i int, value []byte, found bool)) error {
	if err := r.begin(); err != nil {
		return err
	}
	defer r.store.ops.Done()
	for from := 0; from < len(keys); from += multiPage {
		to := min(from+multiPage, len(keys))
		if err := r.get(keys[from:to], func(i int, v []byte, ok bool) { got(from+i, v, ok) }); err != nil {
			return err
		}
	}
	return nil
}

// get looks keys up and fetches what is there. What was overwritten between
// the look and the fetch is looked up again.
func (r *reader) get(keys [][]byte, got func(i int, value []byte, found bool)) error {
	p := r.space
	left := make([]int, 0, len(keys))
	for i := range keys {
		left = append(left, i)
	}
	var seen map[int]location // of what was not as located
	for len(left) > 0 {
		var want [][]byte
		var at []location
		var which, missed []int
		p.mu.RLock()
		if err := cmpErr(r.err(), p.usable()); err != nil {
			p.mu.RUnlock()
			return err
		}
		layers := p.layers
		stuck := false
		for _, i := range left {
			_, loc, ok := p.index.Get(keys[i])
			if !ok {
				missed = append(missed, i)
				continue
			}
			before, again := seen[i]
			stuck = stuck || again && before == loc
			want, at, which = append(want, keys[i]), append(at, loc), append(which, i)
		}
		p.mu.RUnlock()
		if stuck {
			return r.mismatch()
		}
		for _, i := range missed {
			got(i, nil, false)
		}
		left = left[:0]
		err := r.store.fetch(p, layers, want, at, func(j int, value []byte, err error) error {
			if err != nil {
				if seen == nil {
					seen = make(map[int]location)
				}
				left, seen[which[j]] = append(left, which[j]), at[j]
				return nil
			}
			got(which[j], value, true)
			return nil
		})
		if err != nil {
			return fmt.Errorf("reading %s: %w", p.name, err)
		}
	}
	return r.err()
}

func cmpErr(a, b error) error {
	if a != nil {
		return a
	}
	return b
}

// mismatch says what it means that an entry is not on the server as the index
// has it: the space was taken over, or data is gone or damaged.
func (r *reader) mismatch() error {
	if err := r.err(); err != nil {
		return err
	}
	err := r.store.blameRead(r.space)
	return fmt.Errorf("reading: %w", err)
}

// blameRead is blame for readers: they know only that an entry is wrong.
func (s *Store) blameRead(p *space) error {
	data, _, err := s.read(s.ownerKey(p.set, p.name))
	if err != nil {
		return err
	}
	if o, err := decodeOwner(data); data != nil && err == nil && o.session != s.session {
		return p.lose()
	}
	return p.spoil(fmt.Errorf("%w: an entry is missing or damaged on the server", store.ErrCorrupt))
}

// fetch reads the values of entries and tells got each, or an error for those
// that are not as located. got is called by one goroutine at a time; its
// error ends the fetch.
func (s *Store) fetch(p *space, layers []layer, keys [][]byte, at []location, got func(i int, value []byte, err error) error) error {
	var failed error
	tell := func(i int, value []byte, err error) {
		if failed == nil {
			failed = got(i, value, err)
		}
	}
	type long struct {
		i     int
		first []byte
		meta  meta
	}
	var longs []long
	bins, typical := []string{metaBin, valueBin}, int(p.typical.Load())
	err := s.calls(len(keys),
		func(i int) (as.BatchRecordIfc, int) {
			return as.NewBatchRead(nil, s.slotKey(p.set, layers[at[i].layer].id, at[i].slot), bins), typical
		},
		func(i int, r as.BatchRecordIfc, o outcome, _ bool) {
			m, value, err := entryOf(r, o)
			p.sized(len(value))
			switch {
			case err != nil:
				tell(i, nil, err)
			case len(m.more) > 0:
				longs = append(longs, long{i, value, m})
			default:
				tell(i, value, m.verify(layers[at[i].layer].id, keys[i], value, at[i].hash))
			}
		})
	if err != nil {
		return err
	}
	for _, l := range longs {
		id := layers[at[l.i].layer].id
		value, err := s.pieces(p.set, id, &l.meta, l.first)
		if err == nil {
			err = l.meta.verify(id, keys[l.i], value, at[l.i].hash)
		}
		if err != nil && !errors.Is(err, store.ErrCorrupt) {
			return err
		}
		tell(l.i, value, err)
	}
	return failed
}

// entryOf takes a slot apart.
func entryOf(r as.BatchRecordIfc, o outcome) (meta, []byte, error) {
	if o != done {
		return meta{}, nil, fmt.Errorf("%w: a record is missing", store.ErrCorrupt)
	}
	bins := r.BatchRec().Record.Bins
	data, _ := bins[metaBin].([]byte)
	value, ok := bins[valueBin].([]byte)
	m, err := decodeMeta(data)
	if err == nil && !ok {
		err = fmt.Errorf("%w: a record without a value", store.ErrCorrupt)
	}
	return m, value, err
}

// verify says whether a record is the version of the entry that was located.
func (m *meta) verify(id incarnation, key, value []byte, hash uint64) error {
	if m.kind == kindEntry && m.hash == hash && string(m.key) == string(key) && hashEntry(id, m.seq, key, value) == hash {
		return nil
	}
	return fmt.Errorf("%w: a record is another one than was written", store.ErrCorrupt)
}

// pieces reads the rest of a long value.
func (s *Store) pieces(set string, id incarnation, m *meta, first []byte) ([]byte, error) {
	parts := make([][]byte, len(m.more))
	var bad error
	err := s.calls(len(parts),
		func(i int) (as.BatchRecordIfc, int) {
			return as.NewBatchRead(nil, s.slotKey(set, id, m.more[i]), []string{metaBin, valueBin}), s.pieceBytes()
		},
		func(i int, r as.BatchRecordIfc, o outcome, _ bool) {
			_, value, err := entryOf(r, o)
			bad = cmpErr(bad, err)
			parts[i] = value
		})
	if err = cmpErr(err, bad); err != nil {
		return nil, err
	}
	value := slices.Clone(first)
	for _, part := range parts {
		value = append(value, part...)
	}
	return value, nil
}

// A scan is a running Scan: it keeps the slots that it sees from being used.
type scan struct {
	reader *reader
	keys   *tree
	layers []layer
}

// Scan implements store.Reader. It walks a clone of the index, page by page;
// slots of what was overwritten since are left alone until it ends.
func (r *reader) Scan(from, to []byte) iter.Seq2[store.Entry, error] {
	return func(yield func(store.Entry, error) bool) {
		sc, err := r.scan()
		if err != nil {
			yield(store.Entry{}, err)
			return
		}
		defer r.store.ops.Done()
		defer sc.close()
		if to != nil && string(from) >= string(to) {
			return
		}
		if err := sc.run(slices.Clone(from), slices.Clone(to), yield); err != nil {
			yield(store.Entry{}, err)
		}
	}
}

func (r *reader) scan() (*scan, error) {
	if err := r.begin(); err != nil {
		return nil, err
	}
	p := r.space
	p.mu.Lock()
	defer p.mu.Unlock()
	if err := cmpErr(r.err(), p.usable()); err != nil {
		r.store.ops.Done()
		return nil, err
	}
	sc := &scan{reader: r, keys: p.index.Clone(), layers: p.layers}
	p.scans[sc] = p.epoch
	return sc, nil
}

func (sc *scan) close() {
	p := sc.reader.space
	p.mu.Lock()
	delete(p.scans, sc)
	p.mu.Unlock()
	sc.reader.store.kick()
}

// run yields the entries of a range; errors are returned, a caller that has
// enough is not one.
func (sc *scan) run(from, to []byte, yield func(store.Entry, error) bool) error {
	lower := btreemap.GE(from)
	upper := maxKey()
	if to != nil {
		upper = btreemap.LT(to)
	}
	for n := firstPage; ; {
		var keys [][]byte
		var at []location
		for k, loc := range sc.keys.Ascend(lower, upper) {
			if keys, at = append(keys, k), append(at, loc); len(keys) == n {
				break
			}
		}
		if len(keys) == 0 {
			return sc.reader.err()
		}
		values, err := sc.page(keys, at)
		if err != nil {
			return err
		}
		bytes := 0
		for i, k := range keys {
			if err := sc.reader.err(); err != nil {
				return err
			}
			if !yield(store.Entry{Key: k, Value: values[i]}, nil) {
				return nil
			}
			bytes += len(values[i])
		}
		if n = min(2*n, lastPage); bytes > pageBytes/2 {
			n = max(1, len(keys)/2)
		}
		lower = btreemap.GT(keys[len(keys)-1])
	}
}

func (sc *scan) page(keys [][]byte, at []location) ([][]byte, error) {
	r := sc.reader
	values := make([][]byte, len(keys))
	err := r.store.fetch(r.space, sc.layers, keys, at, func(i int, value []byte, err error) error {
		values[i] = value
		return err
	})
	if errors.Is(err, store.ErrCorrupt) {
		return nil, r.mismatch()
	}
	if err != nil {
		return nil, fmt.Errorf("scanning %s: %w", r.space.name, err)
	}
	return values, nil
}
