package memory

import (
	"sync"
	"time"

	"github.com/weirstream/weir/core/record"
)

// A Broker is a Kafka cluster in memory. Make one with NewBroker. Its methods
// may be called concurrently; each is one atomic step.
type Broker struct {
	mu        sync.Mutex
	topics    map[string]*topic
	producers map[int64]*producerState  // by producer ID
	txnIDs    map[string]*producerState // by transactional ID
	groups    map[string]*group
	members   map[string]*member // by member ID, those in a group
	nextID    int64              // next producer ID
	commits   int64              // offset commits so far, which orders them
	joins     int64              // members so far, which names them
	created   uint64             // topics so far, which tells them apart
	hook      func(Op) error     // see Fail
	changed   *change            // the next one, nil while nobody waits
}

// NewBroker returns a broker without topics.
func NewBroker() *Broker {
	return &Broker{
		topics:    make(map[string]*topic),
		producers: make(map[int64]*producerState),
		txnIDs:    make(map[string]*producerState),
		groups:    make(map[string]*group),
		members:   make(map[string]*member),
	}
}

// Append appends records outside of any transaction and returns the offset of
// the first. Topic, Partition and Offset of the records are set by the log;
// the rest is copied. Times are the caller's.
func (b *Broker) Append(tp record.TopicPartition, recs []record.Record) (base int64, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	t, p, err := b.partition(tp)
	if err != nil {
		return 0, err
	}
	if err := t.accepts(tp, recs); err != nil {
		return 0, err
	}
	base = p.append(tp, recs, nil)
	b.notify()
	return base, nil
}

// A Fetched is what a fetch found.
type Fetched struct {
	// Records share their bytes with the log: read them only.
	Records []record.Record
	// Next is where to go on: everything below it was seen, markers, aborted
	// records and gaps included.
	Next int64
	// Start, LastStable and End are the bounds of the partition: readers of
	// committed records get Start <= offset < LastStable, and End is the high
	// watermark.
	Start, LastStable, End int64
}

// Fetch reads committed records from offset from, at most maxRecords of them
// (0: no limit). It stops at the last stable offset and passes over markers
// and aborted records. An offset outside of the log is
// runtime.ErrOffsetOutOfRange; the end of the log is inside.
func (b *Broker) Fetch(tp record.TopicPartition, from int64, maxRecords int) (Fetched, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.fetch(tp, from, limits{records: maxRecords})
}

// FetchUncommitted is Fetch for checkers: it reads to the end of the log and
// returns records of open and aborted transactions too. Markers are passed
// over.
func (b *Broker) FetchUncommitted(tp record.TopicPartition, from int64, maxRecords int) (Fetched, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.fetch(tp, from, limits{records: maxRecords, uncommitted: true})
}

func (b *Broker) fetch(tp record.TopicPartition, from int64, l limits) (Fetched, error) {
	_, p, err := b.partition(tp)
	if err != nil {
		return Fetched{}, err
	}
	if from < p.start || from > p.end {
		return Fetched{}, outOfRange(tp, from, p.bounds())
	}
	return p.fetch(from, l), nil
}

func (b *Broker) partition(tp record.TopicPartition) (*topic, *partition, error) {
	t := b.topics[tp.Topic]
	if t == nil || tp.Partition < 0 || int(tp.Partition) >= len(t.parts) {
		return nil, nil, unknown(tp)
	}
	return t, t.parts[tp.Partition], nil
}

// wait returns a channel that is closed at the next change of anything that
// somebody may wait for. Get it before looking.
func (b *Broker) wait() <-chan struct{} {
	return b.upcoming().done
}

// A change is something that somebody may wait for.
type change struct {
	done chan struct{} // closed when it has happened
	at   time.Time     // when it happened
}

func (b *Broker) upcoming() *change {
	if b.changed == nil {
		b.changed = &change{done: make(chan struct{})}
	}
	return b.changed
}

// notify wakes all who wait; they look again.
func (b *Broker) notify() {
	if b.changed != nil {
		b.changed.at = time.Now()
		close(b.changed.done)
		b.changed = nil
	}
}
