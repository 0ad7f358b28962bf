package task

import (
	"github.com/weirstream/weir/core/record"
	"github.com/weirstream/weir/core/store"
	"github.com/weirstream/weir/core/topology"
)

// aheadRecords is how many buffered records one GetMulti looks ahead.
const aheadRecords = 256

// An ahead reads the entries that buffered records will probably ask for, many
// with one call, so that a store far away costs one round trip for hundreds of
// records and not one for each. What a record asks for is not known before its
// agent runs, but it can be learned: when most of what an agent reads is
// stored under the key of its record (for a windowed table, in the window of
// the record's time), the keys of the records that wait are a good guess.
//
// A wrong guess costs a read and changes nothing: what is read goes to the
// cache of entries that equal the store's, under the writes of both epochs.
// It depends only on what is buffered and what was read.
type ahead struct {
	reader store.MultiReader
	window *topology.Window
	rec    *record.Record // in work
	// asked and guessed count the reads that reached the store one by one,
	// and those of them that were for the key of the record. More than need
	// good guesses begin the reading ahead.
	asked, guessed, need int
	// fetched and used count the entries of the last GetMulti.
	fetched, used int
	on            bool

	key     []byte
	seen    map[string]bool
	entries []*entry
	keys    [][]byte
}

const (
	needFirst = 16
	needMost  = 1 << 16
)

// newAhead returns nil when the reader has no GetMulti, or nothing keeps what
// it reads.
func newAhead(r store.Reader, window *topology.Window, cacheBytes int) *ahead {
	m, ok := r.(store.MultiReader)
	if !ok || cacheBytes <= 0 {
		return nil
	}
	return &ahead{reader: m, window: window, need: needFirst, seen: make(map[string]bool)}
}

// guess is the key that a record probably asks for.
func (a *ahead) guess(r *record.Record) []byte {
	a.key = a.key[:0]
	if a.window != nil {
		a.key = topology.AppendWindowStart(a.key, a.window.Start(r.Time))
	}
	a.key = append(a.key, r.Key...)
	return a.key
}

// missed notes a read that the store had to answer by itself.
func (a *ahead) missed(key []byte) {
	if a.rec == nil || a.on {
		return
	}
	a.asked++
	if string(a.guess(a.rec)) == string(key) {
		a.guessed++
	}
	if a.asked >= a.need && 2*a.guessed > a.asked {
		a.on = true
	}
	if a.asked >= 4*a.need { // what was long ago does not count
		a.asked, a.guessed = a.asked/2, a.guessed/2
	}
}

// judge gives up when most of what was read last was not asked for, and asks
// for more evidence before it begins again.
func (a *ahead) judge() {
	if 2*a.used < a.fetched {
		a.on = false
		a.asked, a.guessed = 0, 0
		a.need = min(4*a.need, needMost)
	}
	a.fetched, a.used = 0, 0
}

// readAhead fills the caches for the next records of an input.
func (t *Task) readAhead(in *input) {
	r := in.peek()
	for _, s := range t.spaces {
		if s.ahead != nil {
			s.ahead.rec = r
		}
	}
	if r.Offset < in.ahead {
		return
	}
	for _, s := range t.spaces {
		if a := s.ahead; a != nil && a.on {
			a.judge()
			if a.on {
				s.fetch(in)
			}
		}
	}
	in.ahead = in.lookAhead(aheadRecords, func(*record.Record) {}) + 1
}

// fetch reads the keys that the next records of an input probably ask for. An
// error is left to the read that meets it.
func (s *space) fetch(in *input) {
	a := s.ahead
	in.lookAhead(aheadRecords, func(r *record.Record) {
		if r.Key == nil {
			return
		}
		if key := a.guess(r); !a.seen[string(key)] && s.lookup(key) == nil {
			e := &entry{key: string(key), ahead: true}
			a.seen[e.key] = true
			a.entries, a.keys = append(a.entries, e), append(a.keys, []byte(e.key))
		}
	})
	if len(a.keys) > 0 {
		err := a.reader.GetMulti(a.keys, func(i int, value []byte, found bool) {
			a.entries[i].value, a.entries[i].deleted = append([]byte(nil), value...), !found
		})
		for _, e := range a.entries {
			if err == nil {
				s.clean.put(e)
				a.fetched++
			}
		}
	}
	clear(a.seen)
	clear(a.entries)
	a.entries, a.keys = a.entries[:0], a.keys[:0]
}

// lookAhead calls f for up to n records that wait and returns the offset of
// the last one.
func (in *input) lookAhead(n int, f func(r *record.Record)) (last int64) {
	from := in.head
	for _, rs := range in.batches {
		for i := from; i < len(rs) && n > 0; i++ {
			f(&rs[i])
			last = rs[i].Offset
			n--
		}
		from = 0
	}
	return last
}
