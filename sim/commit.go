package sim

import (
	"errors"
	"fmt"

	"github.com/weirstream/weir/core/record"
	"github.com/weirstream/weir/core/task"
	"github.com/weirstream/weir/core/worker"
)

// A commitJob is one thing that the committer of a worker has to do. Jobs are
// done one after the other, each in steps between which a crash may fall.
type commitJob interface {
	ready() bool
	step() bool
}

// A Fault makes the next commit of a worker go wrong.
type Fault uint8

const (
	noFault Fault = iota
	// FailProduce makes the broker refuse the records: the commit is aborted.
	FailProduce
	// FailOffsets makes it refuse the input offsets, the outputs being
	// written already: the commit is aborted.
	FailOffsets
	// LoseRequest loses the request that ends the transaction: the worker
	// does not know the outcome, and it is that nothing was committed.
	LoseRequest
	// LoseReply loses the answer: the worker does not know the outcome, and
	// it is that everything was committed.
	LoseReply
)

func (f Fault) String() string {
	return [...]string{"no fault", "fail produce", "fail offsets", "lose request", "lose reply"}[f]
}

var errInjected = errors.New("sim: fault asked for by the test")

// A roundJob sends one commit round.
type roundJob struct {
	p       *process
	r       *worker.Round
	records [][]record.Record
	offsets map[record.TopicPartition]offset
	next    map[record.TopicPartition]int64
	stage   stage
	txn     *txn
	shown   membership
	fault   Fault
	done    worker.Decided
}

// A stage is what a roundJob does next.
type stage uint8

const (
	stageBegin stage = iota
	stageProduce
	stageClaim
	stageOffsets
	stageEnd
	stageReply
)

func newRoundJob(p *process, r *worker.Round) *roundJob {
	j := &roundJob{p: p, r: r, records: r.Records(), next: make(map[record.TopicPartition]int64), offsets: make(map[record.TopicPartition]offset)}
	j.done = worker.Decided{Round: r.ID, Next: j.next}
	for _, e := range r.Epochs {
		for _, in := range e.Offsets {
			j.offsets[record.TopicPartition{Topic: in.Topic, Partition: in.Partition}] = offset{in.Offset, task.Metadata(e.StreamTime)}
		}
	}
	if f := p.s.hooks.round; f != nil {
		f(j)
	}
	return j
}

// plain says that the round goes without a transaction.
func (j *roundJob) plain() bool { return j.p.s.cfg.atLeastOnce }

func (j *roundJob) ready() bool {
	return j.stage != stageBegin || j.plain() || j.p.s.broker.ready(j.p.w.name)
}

// to goes on with another stage.
func (j *roundJob) to(s stage) bool {
	j.stage = s
	return false
}

// decided notes the outcome; the machine hears of it in the next step.
func (j *roundJob) decided(o worker.Outcome, err error) bool {
	j.done.Outcome, j.done.Err = o, err
	return j.to(stageReply)
}

func (j *roundJob) step() bool {
	s := j.p.s
	if f := s.hooks.stage; f != nil && f(j) {
		return false
	}
	switch j.stage {
	case stageBegin:
		j.fault = s.nextFault(j.p)
		return j.begin()
	case stageProduce:
		return j.produce()
	case stageClaim:
		return j.claim()
	case stageOffsets:
		return j.addOffsets()
	case stageEnd:
		return j.end()
	default:
		s.stats.count(j.done.Outcome)
		j.p.post(j.done)
		return true
	}
}

func (j *roundJob) begin() bool {
	s := j.p.s
	if j.plain() {
		return j.to(stageProduce)
	}
	t, err := s.broker.begin(j.p.w.name, j.p.epoch, s.millis()+s.cfg.txnTimeout.Milliseconds())
	if err != nil {
		return j.decided(worker.Fenced, err)
	}
	j.txn = t
	return j.to(stageProduce)
}

// produce writes one run of records.
func (j *roundJob) produce() bool {
	if len(j.records) == 0 {
		return j.to(stageClaim)
	}
	if err := j.live(); err != nil {
		return j.broken(err)
	}
	if j.fault == FailProduce && len(j.records) == 1 {
		return j.abort(errInjected)
	}
	if err := j.p.s.broker.produce(j.records[0], j.txn, j.next); err != nil {
		return j.abort(err)
	}
	j.records = j.records[1:]
	return false
}

// live fails when the transaction is over without us.
func (j *roundJob) live() error {
	if j.txn == nil {
		return nil
	}
	return j.txn.live(j.p.epoch)
}

// broken answers a transaction that the broker ended: a newer producer has
// our place, or it was open for too long and we may come again.
func (j *roundJob) broken(err error) bool {
	if j.p.w.p != j.p {
		return j.decided(worker.Fenced, err)
	}
	return j.decided(worker.Unknown, err)
}

// claim reads the membership first and then looks whether all tasks are still
// owned; see docs/design/ownership.md.
func (j *roundJob) claim() bool {
	j.shown = membership{j.p, j.p.generation}
	for _, e := range j.r.Epochs {
		if gen, ok := j.p.claims[e.Task]; !ok || gen != e.Generation {
			return j.abort(fmt.Errorf("task %s was given away before its commit", e.Task))
		}
	}
	return j.to(stageOffsets)
}

func (j *roundJob) addOffsets() bool {
	b := j.p.s.broker
	if err := j.live(); err != nil {
		return j.broken(err)
	}
	if j.fault == FailOffsets {
		return j.abort(errInjected)
	}
	if j.txn == nil && j.fault == LoseRequest {
		return j.decided(worker.Unknown, errInjected)
	}
	var err error
	if j.txn == nil {
		err = b.commitOffsets(j.offsets, j.shown)
	} else {
		err = b.addOffsets(j.txn, j.offsets, j.shown)
	}
	switch {
	case errors.Is(err, errNoMember):
		j.abort(err)
		return j.decided(worker.Fenced, err)
	case err != nil:
		return j.abort(err)
	case j.txn != nil:
		return j.to(stageEnd)
	case j.fault == LoseReply:
		return j.decided(worker.Unknown, errInjected)
	}
	return j.decided(worker.Committed, nil)
}

func (j *roundJob) end() bool {
	b := j.p.s.broker
	if err := j.live(); err != nil {
		return j.broken(err)
	}
	if j.fault == LoseRequest {
		return j.decided(worker.Unknown, errInjected)
	}
	b.decide(j.txn, txnCommitted)
	if j.fault == LoseReply {
		return j.decided(worker.Unknown, errInjected)
	}
	return j.decided(worker.Committed, nil)
}

// abort gives the round up. Without a transaction, records that were written
// stay, so the outcome is unknown.
func (j *roundJob) abort(err error) bool {
	if j.txn == nil {
		if len(j.next) > 0 {
			return j.decided(worker.Unknown, err)
		}
		return j.decided(worker.Aborted, err)
	}
	if j.live() == nil {
		j.p.s.broker.decide(j.txn, txnAborted)
	}
	return j.decided(worker.Aborted, err)
}

// An applyJob writes a batch to the disk.
type applyJob struct {
	p *process
	e worker.Apply
}

func (j *applyJob) ready() bool { return true }

func (j *applyJob) step() bool {
	if f := j.p.s.hooks.batch; f != nil {
		f(j.p, j.e.Batch)
	}
	j.p.post(worker.Applied{Round: j.e.Round, Err: j.p.w.disk.Apply(j.e.Batch)})
	return true
}

// A recoverJob gives the producer a new epoch.
type recoverJob struct{ p *process }

func (j *recoverJob) ready() bool { return true }

func (j *recoverJob) step() bool {
	j.p.epoch = j.p.s.broker.init(j.p.w.name)
	j.p.post(worker.Recovered{})
	return true
}
