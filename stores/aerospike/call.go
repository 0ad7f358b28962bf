package aerospike

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	as "github.com/aerospike/aerospike-client-go/v7"
	"github.com/aerospike/aerospike-client-go/v7/types"

	"github.com/weirstream/weir/core/store"
)

const (
	firstPause = 2 * time.Millisecond
	maxPause   = 500 * time.Millisecond
	batchBytes = 4 << 20
)

// An outcome is what is known about one attempt on one record.
type outcome int

const (
	done    outcome = iota // it was carried out
	refused                // it was not: the record is not as expected
	again                  // it was not, and may be tried again
	doubt                  // nobody knows; trying again must be harmless
	broken                 // it was not and never will be
)

// judge says what a result code means. The client's own mark of doubt is not
// used: it is missing where a batch lost its connection at the first attempt.
func judge(code types.ResultCode) outcome {
	switch code {
	case types.OK:
		return done
	case types.KEY_NOT_FOUND_ERROR, types.GENERATION_ERROR, types.KEY_EXISTS_ERROR:
		return refused
	case types.DEVICE_OVERLOAD, types.KEY_BUSY, types.PARTITION_UNAVAILABLE, types.SERVER_MEM_ERROR,
		types.MAX_ERROR_RATE, types.NO_AVAILABLE_CONNECTIONS_TO_NODE, types.INVALID_CLUSTER_PARTITION_MAP,
		types.INVALID_NODE_ERROR, types.CLUSTER_KEY_MISMATCH:
		return again
	case types.TIMEOUT, types.SERVER_ERROR:
		return doubt
	default:
		if code < 0 { // The client's own codes: the network, mostly.
			return doubt
		}
		return broken
	}
}

func (s *Store) judge(code types.ResultCode) outcome {
	if s.hooks.judge != nil {
		return s.hooks.judge(code)
	}
	return judge(code)
}

func codeOf(err error) types.ResultCode {
	var ae *as.AerospikeError
	if errors.As(err, &ae) {
		return ae.ResultCode
	}
	return types.COMMON_ERROR
}

// A retrier paces attempts.
type retrier struct {
	store *Store
	until time.Time
	pause time.Duration
}

func (s *Store) retrier() retrier {
	return retrier{store: s, until: time.Now().Add(s.cfg.RetryFor), pause: firstPause}
}

// wait pauses before another attempt, or says that time is up.
func (r *retrier) wait(why error) error {
	pause := r.pause/2 + rand.N(r.pause)
	r.pause = min(2*r.pause, maxPause)
	if time.Now().Add(pause).After(r.until) {
		return fmt.Errorf("%w: aerospike: giving up after %s (check the servers' health and load, or raise RetryFor): %w", store.ErrUnavailable, r.store.cfg.RetryFor, why)
	}
	t := time.NewTimer(pause)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-r.store.stop.Done():
		return fmt.Errorf("%w while trying again: %w", store.ErrClosed, why)
	}
}

func (s *Store) basePolicy() as.BasePolicy {
	p := as.NewPolicy()
	p.TotalTimeout, p.SocketTimeout = s.cfg.Timeout, s.cfg.Timeout
	p.MaxRetries = 0 // Attempts are made here, where it is known what is harmless.
	return *p
}

func (s *Store) batchPolicy() *as.BatchPolicy {
	p := as.NewBatchPolicy()
	p.BasePolicy = s.basePolicy()
	p.AllowInline, p.RespondAllKeys = true, true
	p.ConcurrentNodes = 0
	return p
}

// attempt makes one call and returns what is known about each record.
func (s *Store) attempt(records []as.BatchRecordIfc) error {
	if s.hooks.attempt != nil {
		return s.hooks.attempt(records, s.send)
	}
	return s.send(records)
}

func (s *Store) send(records []as.BatchRecordIfc) error {
	if err := s.client.BatchOperate(s.batchPolicy(), records); err != nil {
		return err
	}
	return nil
}

// result is the code of one record of a call; err is the call's own error.
//
// It works round the client, v7.10.2, which gives a record that it could not
// read to its end the code OK of the record's header, with an error and
// without the record (TestCutAnswers): the server carried it out, and what it
// answered is not known.
func result(r as.BatchRecordIfc, err error) types.ResultCode {
	code := r.BatchRec().ResultCode
	if code == types.OK && r.BatchRec().Err != nil {
		return types.TIMEOUT
	}
	if code == types.NO_RESPONSE && err != nil {
		if c := codeOf(err); c > 0 {
			return c
		}
	}
	return code
}

// call makes calls until every record is done or refused. It tells settled
// what each ended with and whether any attempt was in doubt. Writes must be
// harmless when they are carried out twice.
func (s *Store) call(records []as.BatchRecordIfc, settled func(i int, o outcome, doubted bool)) error {
	left := make([]int, len(records))
	for i := range left {
		left[i] = i
	}
	doubted := make(map[int]bool)
	todo := records
	for r := s.retrier(); ; {
		err := s.attempt(todo)
		var failed error
		rest := left[:0:0]
		for j, i := range left {
			code := result(todo[j], err)
			o := s.judge(code)
			switch o {
			case done, refused:
				settled(i, o, doubted[i])
				continue
			case broken:
				return fmt.Errorf("aerospike: the server refused a record: %s", describe(todo[j], code))
			case doubt:
				doubted[i] = true
			}
			rest = append(rest, i)
			failed = errors.New(describe(todo[j], code))
		}
		if len(rest) == 0 {
			return nil
		}
		s.cfg.Logger.Debug("trying again", "records", len(rest), "of", len(records), "error", failed)
		if err := r.wait(errors.Join(failed, err)); err != nil {
			return err
		}
		todo, left = todo[:0:0], rest
		for _, i := range left {
			todo = append(todo, records[i])
		}
	}
}

func describe(r as.BatchRecordIfc, code types.ResultCode) string {
	return fmt.Sprintf("%s (%d) in set %s", types.ResultCodeToString(code), code, r.BatchRec().Key.SetName())
}

// calls is call for any number of records: it cuts them into calls of a good
// size and makes several at once, when there is room for them. settled is called
// by one goroutine at a time.
func (s *Store) calls(n int, record func(i int) (as.BatchRecordIfc, int), settled func(i int, r as.BatchRecordIfc, o outcome, doubted bool)) error {
	var mu sync.Mutex
	g := newGroup(max(1, s.cfg.Concurrency/4))
	for from := 0; from < n; {
		var records []as.BatchRecordIfc
		first, size := from, 0
		for from < n && len(records) < s.cfg.BatchRecords && (size < batchBytes || len(records) == 0) {
			r, bytes := record(from)
			records, size = append(records, r), size+bytes
			from++
		}
		takes := min(int64(size+len(records)*callBytes), s.room.size)
		if s.room.Acquire(s.stop, takes) != nil {
			g.fail(store.ErrClosed)
			break
		}
		if !g.run(func() error {
			defer s.room.Release(takes)
			return s.call(records, func(i int, o outcome, doubted bool) {
				mu.Lock()
				defer mu.Unlock()
				settled(first+i, records[i], o, doubted)
			})
		}) {
			s.room.Release(takes)
			break
		}
	}
	return g.wait()
}

// read reads one bin of one record; missing is (nil, 0, nil).
func (s *Store) read(k *as.Key) (data []byte, gen uint32, err error) {
	r := as.NewBatchRead(nil, k, []string{metaBin})
	err = s.call([]as.BatchRecordIfc{r}, func(int, outcome, bool) {})
	if err != nil || r.Record == nil {
		return nil, 0, err
	}
	data, ok := r.Record.Bins[metaBin].([]byte)
	if !ok {
		return nil, 0, fmt.Errorf("%w: a record without data in set %s", store.ErrCorrupt, k.SetName())
	}
	return data, r.Record.Generation, nil
}

// errLost marks a record that somebody else wrote meanwhile.
var errLost = errors.New("aerospike: another owner wrote the record")

// A swap replaces one record if it has the expected generation, 0 for none.
// The data must differ from whatever anybody wrote or will write there.
type swap struct {
	key  *as.Key
	gen  uint32
	data []byte
}

const maxGeneration = 1<<16 - 1

func (w *swap) record() *as.BatchWrite {
	p := as.NewBatchWritePolicy()
	p.Expiration = as.TTLDontExpire
	if w.gen == 0 {
		p.RecordExistsAction = as.CREATE_ONLY
	} else {
		p.RecordExistsAction = as.UPDATE
		p.GenerationPolicy, p.Generation = as.EXPECT_GEN_EQUAL, w.gen
	}
	return as.NewBatchWrite(p, w.key, as.PutOp(as.NewBin(metaBin, w.data)))
}

// swapAll carries out all swaps that it can, each by itself, in one call when
// nothing goes wrong. lost tells which were not, because the record had changed. An attempt
// in doubt is resolved by reading: the record is as this swap wrote it, or it
// is not and a later attempt of this swap cannot succeed either. With an error
// nothing is known.
func (s *Store) swapAll(swaps []*swap) (lost []bool, err error) {
	lost = make([]bool, len(swaps))
	var check []int
	err = s.calls(len(swaps),
		func(i int) (as.BatchRecordIfc, int) { return swaps[i].record(), len(swaps[i].data) },
		func(i int, _ as.BatchRecordIfc, o outcome, doubted bool) {
			switch {
			case o == done:
				swaps[i].gen = swaps[i].gen%maxGeneration + 1
			case doubted:
				check = append(check, i)
			default:
				lost[i] = true
			}
		})
	if err != nil {
		return lost, err
	}
	for _, i := range check {
		data, gen, err := s.read(swaps[i].key)
		if err != nil {
			return lost, err
		}
		if lost[i] = !bytes.Equal(data, swaps[i].data); !lost[i] {
			swaps[i].gen = gen
		}
	}
	return lost, nil
}

// swap carries out one swap or fails with errLost.
func (s *Store) swap(w *swap) error {
	lost, err := s.swapAll([]*swap{w})
	if err == nil && lost[0] {
		return errLost
	}
	return err
}

// A group runs functions at the same time, a limited number, until one fails.
type group struct {
	slots chan struct{}
	wg    sync.WaitGroup
	ctx   context.Context
	fail  context.CancelCauseFunc
}

func newGroup(limit int) *group {
	g := &group{slots: make(chan struct{}, limit)}
	g.ctx, g.fail = context.WithCancelCause(context.Background())
	return g
}

// run waits for room and starts f, or reports that something has failed.
func (g *group) run(f func() error) bool {
	g.slots <- struct{}{}
	if g.ctx.Err() != nil {
		<-g.slots
		return false
	}
	g.wg.Go(func() {
		defer func() { <-g.slots }()
		if err := f(); err != nil {
			g.fail(err)
		}
	})
	return true
}

func (g *group) wait() error {
	g.wg.Wait()
	err := context.Cause(g.ctx)
	g.fail(nil)
	return err
}
