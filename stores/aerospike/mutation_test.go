package aerospike

import (
	"bytes"
	"iter"
	"slices"
	"sync"
	"testing"

	as "github.com/aerospike/aerospike-client-go/v7"
	"github.com/aerospike/aerospike-client-go/v7/types"

	"github.com/weirstream/weir/conformance"
	"github.com/weirstream/weir/core/store"
)

// A mutation is a mistake in the store, and the checks that must find it.
type mutation struct {
	name  string
	plant func(h *hooks)
	wrap  func(store.Store) store.Store
	own   map[string]check
	suite []string
}

func mutations() []mutation {
	return []mutation{
		{
			name: "a batch has no position",
			plant: func(h *hooks) {
				h.plan = func(pl *plan) { pl.next.position = pl.space.head.now.position }
			},
			suite: []string{"life/reopen", "crash/power-loss"},
		},
		{
			name: "tombstones are lost",
			plant: func(h *hooks) {
				h.plan = func(pl *plan) {
					pl.writer.records = slices.DeleteFunc(pl.writer.records, func(w slotWrite) bool { return w.value == nil })
				}
			},
			suite: []string{"life/reopen", "crash/power-loss"},
		},
		{
			name:  "keys are ordered as signed bytes",
			wrap:  func(s store.Store) store.Store { return signed{s} },
			suite: []string{"read/scan-order"},
		},
		{
			name:  "heads are written whatever their generation",
			plant: func(h *hooks) { h.attempt = ignoreGenerations },
			suite: []string{"owner/shared"}, own: map[string]check{"a zombie": checkZombie},
		},
		{
			name:  "heads are written before data",
			plant: func(h *hooks) { h.attempt = dataLast() },
			suite: []string{"crash/power-loss"},
		},
		{
			name:  "the spaces of a batch count one by one",
			plant: func(h *hooks) { h.apart = true },
			suite: []string{"crash/power-loss", "crash/failing-disk"},
		},
		{
			name:  "a restore begins at the offset of a batch that does not count",
			plant: func(h *hooks) { h.undecided = true },
			suite: []string{"crash/power-loss"},
		},
		{
			name:  "in doubt counts as failed",
			plant: func(h *hooks) { h.judge = doubtIs(refused) },
			suite: []string{"server/answer-lost", "server/answers-lost"}, own: map[string]check{"faults": checkFaults},
		},
		{
			name:  "in doubt counts as done",
			plant: func(h *hooks) { h.judge = doubtIs(done) },
			suite: []string{"server/answer-lost", "server/answers-lost"}, own: map[string]check{"faults": checkFaults},
		},
		{
			name:  "what the server lost or brought back is served",
			plant: func(h *hooks) { h.trust = true },
			suite: []string{"server/writes-lost", "server/deletes-back"},
		},
		{
			name:  "slots are used again while a scan reads them",
			plant: func(h *hooks) { h.ignoreScans = true },
			own:   map[string]check{"a scan beside batches": checkScanBeside},
		},
	}
}

// TestMutationsAreCaught plants each mistake and fails when a check that is
// for it does not notice.
func TestMutationsAreCaught(t *testing.T) {
	t.Parallel()
	for _, m := range mutations() {
		t.Run(m.name, func(t *testing.T) {
			t.Parallel()
			for name, c := range m.own {
				r := conformance.Record(name, func(tb conformance.TB) { c(tb, m.plant) })
				caught(t, r)
			}
			for _, name := range m.suite {
				caught(t, conformance.Record(name, func(tb conformance.TB) { runCheck(tb, name, m.factory()) }))
			}
		})
	}
}

func caught(t *testing.T, r *conformance.Recorder) {
	t.Helper()
	if !r.Failed() {
		t.Errorf("%s did not notice; it said %q", r.Name(), r.Messages())
		return
	}
	said := r.Messages()
	t.Logf("%s: %s", r.Name(), said[len(said)-1])
}

func (m mutation) factory() conformance.StoreFactory {
	f := fakeFactory(m.plant)
	if m.wrap != nil {
		place := f.New
		f.New = func(tb conformance.TB) conformance.StorePlace {
			p := place(tb)
			open := p.Open
			p.Open = func() (store.Store, error) {
				s, err := open()
				if err != nil {
					return nil, err
				}
				return m.wrap(s), nil
			}
			return p
		}
	}
	return f
}

// ignoreGenerations writes heads, owners and transactions as if nobody else
// could.
func ignoreGenerations(records []as.BatchRecordIfc, next func([]as.BatchRecordIfc) error) error {
	for _, r := range records {
		if w, ok := r.(*as.BatchWrite); ok {
			w.Policy.GenerationPolicy, w.Policy.RecordExistsAction = as.NONE, as.UPDATE
		}
	}
	return next(records)
}

// dataLast says that data was written, and writes it when the batch counts.
func dataLast() func([]as.BatchRecordIfc, func([]as.BatchRecordIfc) error) error {
	var mu sync.Mutex
	var late []as.BatchRecordIfc
	return func(records []as.BatchRecordIfc, next func([]as.BatchRecordIfc) error) error {
		mu.Lock()
		defer mu.Unlock()
		w, ok := records[0].(*as.BatchWrite)
		if !ok {
			return next(records)
		}
		key, _ := w.Key.Value().GetObject().([]byte)
		if key[0] == keySlot {
			late = append(late, records...)
			for _, r := range records {
				r.BatchRec().ResultCode = types.OK
			}
			return nil
		}
		err := next(records)
		if counts := key[0] == keyTxn || key[0] == keyHead && len(records) == 1; counts && len(late) > 0 && err == nil {
			err = next(late)
			late = nil
		}
		return err
	}
}

func doubtIs(o outcome) func(types.ResultCode) outcome {
	return func(code types.ResultCode) outcome {
		if j := judge(code); j != doubt {
			return j
		}
		return o
	}
}

// signed scans in the order of signed bytes.
type signed struct{ store.Store }

func (s signed) Open(sp store.Space, gen store.Generation) (store.Reader, store.Position, error) {
	r, p, err := s.Store.Open(sp, gen)
	if err != nil {
		return nil, p, err
	}
	return signedReader{r}, p, nil
}

type signedReader struct{ store.Reader }

func (r signedReader) Scan(from, to []byte) iter.Seq2[store.Entry, error] {
	return func(yield func(store.Entry, error) bool) {
		var all []store.Entry
		for e, err := range r.Reader.Scan(from, to) {
			if err != nil {
				yield(e, err)
				return
			}
			all = append(all, store.Entry{Key: bytes.Clone(e.Key), Value: bytes.Clone(e.Value)})
		}
		flip := func(k []byte) []byte {
			k = bytes.Clone(k)
			for i := range k {
				k[i] ^= 0x80
			}
			return k
		}
		slices.SortFunc(all, func(a, b store.Entry) int { return bytes.Compare(flip(a.Key), flip(b.Key)) })
		for _, e := range all {
			if !yield(e, nil) {
				return
			}
		}
	}
}
