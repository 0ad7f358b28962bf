package conformance

import (
	"cmp"
	"context"
	"errors"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/weirstream/weir/core/record"
	"github.com/weirstream/weir/core/store"
	"github.com/weirstream/weir/runtime"
)

func sortedKeys[K cmp.Ordered, V any](m map[K]V) []K { return slices.Sorted(maps.Keys(m)) }

// offsets and ranges are keyed by partition.
type (
	tp      = record.TopicPartition
	places  = map[tp]int64
	offsets = map[tp]runtime.Offset
)

// A wire is the fixture of a check: a cluster with topic in of four
// partitions and topic out of two, and a transport to it.
type wire struct {
	TB

	ctx    context.Context // ends when patience is over
	place  TransportPlace
	tr     runtime.Transport
	owners owners
	now    int64 // time of records: no retention has passed it
}

func newWire(tb TB, f TransportFactory) *wire {
	tb.Helper()
	patience := f.Patience
	if patience == 0 {
		patience = time.Minute
	}
	s := &wire{TB: tb, owners: owners{held: make(map[tp]string), gone: make(map[string]bool)}, now: time.Now().UnixMilli()}
	var cancel context.CancelFunc
	s.ctx, cancel = context.WithTimeout(context.Background(), patience)
	tb.Cleanup(cancel)
	s.place = f.New(tb)
	s.tr = s.connect()
	s.topic("in", 4)
	s.topic("out", 2)
	tb.Cleanup(s.reportOwners)
	return s
}

// connect connects another client.
func (s *wire) connect() runtime.Transport {
	s.Helper()
	return s.connectBy(s.place.Connect)
}

func (s *wire) connectBy(by func() (runtime.Transport, error)) runtime.Transport {
	s.Helper()
	tr, err := by()
	s.ok(err)
	s.Cleanup(func() {
		if err := tr.Close(); err != nil {
			s.Errorf("closing the transport: %v", err)
		}
	})
	return tr
}

// name is how a topic, a group or a producer is called in this cluster.
func (s *wire) name(short string) string { return s.place.Prefix + short }

func (s *wire) tp(topic string, p int32) tp { return tp{Topic: s.name(topic), Partition: p} }

// topic creates a topic; configuration comes as key, value.
func (s *wire) topic(name string, partitions int32, config ...string) {
	s.Helper()
	spec := runtime.TopicSpec{Partitions: partitions, Replicas: 1, Config: make(map[string]string)}
	for i := 0; i < len(config); i += 2 {
		spec.Config[config[i]] = config[i+1]
	}
	s.creates(true, name, spec)
}

// creates creates a topic, which is new or there already.
func (s *wire) creates(isNew bool, name string, spec runtime.TopicSpec) {
	s.Helper()
	created, err := s.tr.CreateTopics(s.ctx, map[string]runtime.TopicSpec{s.name(name): spec})
	s.ok(err)
	if isNew != slices.Equal(created, []string{s.name(name)}) || !isNew && len(created) > 0 {
		s.Fatalf("topic %s: %v were created", name, created)
	}
}

// refuses tries to create topics that cannot be.
func (s *wire) refuses(name string, spec runtime.TopicSpec) {
	s.Helper()
	created, err := s.tr.CreateTopics(s.ctx, map[string]runtime.TopicSpec{s.name(name): spec})
	if err == nil || len(created) > 0 || s.ctx.Err() != nil {
		s.Errorf("a topic of name %q and %d partitions: %v, %v", name, spec.Partitions, created, err)
	}
}

func (s *wire) ok(err error) {
	s.Helper()
	if err != nil {
		s.Fatal(err)
	}
}

func (s *wire) is(err, target error) {
	s.Helper()
	if !errors.Is(err, target) {
		s.Fatalf("error %v; want %v", err, target)
	}
}

// words makes records for one partition, one for each word.
func (s *wire) words(topic string, p int32, text string) []record.Record {
	var rs []record.Record
	for w := range strings.FieldsSeq(text) {
		rs = append(rs, record.Record{Topic: s.name(topic), Partition: p, Time: s.now, Key: []byte(w), Value: []byte(w)})
	}
	return rs
}

func (s *wire) producer(id string) runtime.Producer {
	s.Helper()
	return s.producerOf(s.tr, id)
}

func (s *wire) producerOf(tr runtime.Transport, id string) runtime.Producer {
	s.Helper()
	if id != "" {
		id = s.name(id)
	}
	p, err := tr.Producer(s.ctx, id)
	s.ok(err)
	s.Cleanup(p.Close)
	return p
}

// commit commits a round and wants its outcome.
func (s *wire) commit(p runtime.Producer, want runtime.Outcome, c runtime.Commit) runtime.Result {
	s.Helper()
	res := p.Commit(s.ctx, c)
	if res.Outcome != want || (res.Err == nil) != (want == runtime.Committed) {
		s.Fatalf("commit: %v, %v; want %v", res.Outcome, res.Err, want)
	}
	return res
}

func (s *wire) send(p runtime.Producer, rs ...[]record.Record) runtime.Result {
	s.Helper()
	return s.commit(p, runtime.Committed, runtime.Commit{Records: rs})
}

// abort sends records in a transaction that is aborted.
func (s *wire) abort(p runtime.Producer, rs ...[]record.Record) {
	s.Helper()
	s.commit(p, runtime.Aborted, runtime.Commit{Records: rs, Claim: func() error { return errGivenAway }})
}

var errGivenAway = errors.New("the partitions were given away")

func (s *wire) fetcher(at places) runtime.Fetcher {
	s.Helper()
	return s.fetcherWith(runtime.FetchConfig{}, at)
}

func (s *wire) fetcherWith(cfg runtime.FetchConfig, at places) runtime.Fetcher {
	s.Helper()
	f, err := s.tr.Fetcher(cfg)
	s.ok(err)
	s.Cleanup(f.Close)
	f.Set(at)
	return f
}

// receive waits for what a call gives, in a goroutine of its own.
func receive[T any](s *wire, from <-chan T, what string) (got T) {
	s.Helper()
	select {
	case got = <-from:
	case <-s.ctx.Done():
		s.Fatalf("%s does not come back", what)
	}
	return got
}

// A reading is what was polled of one partition.
type reading struct {
	keys []string
	next int64
}

// take adds a batch to what was read, and checks what every batch promises.
func (s *wire) take(got map[tp]reading, b *runtime.Batch) {
	s.Helper()
	s.ok(b.Err)
	r := got[b.TP]
	for i := range b.Records {
		rec := &b.Records[i]
		if rec.Offset < r.next || rec.Offset >= b.Next || rec.TP() != b.TP {
			s.Fatalf("record %s of %v at %d is not between %d and %d of %v", rec.Key, rec.TP(), rec.Offset, r.next, b.Next, b.TP)
		}
		r.keys = append(r.keys, string(rec.Key))
		r.next = rec.Offset + 1
	}
	if b.Next < r.next || b.HighWatermark < b.Next {
		s.Fatalf("%v: next is %d after %d, with a high watermark of %d", b.TP, b.Next, r.next, b.HighWatermark)
	}
	r.next = b.Next
	got[b.TP] = r
}

// read polls until all partitions are at the offsets given.
func (s *wire) read(f runtime.Fetcher, until places) map[tp]reading {
	s.Helper()
	got := make(map[tp]reading)
	behind := func() bool {
		for tp, at := range until {
			if got[tp].next < at {
				return true
			}
		}
		return false
	}
	for behind() {
		batches := f.Poll(s.ctx, 0)
		if s.ctx.Err() != nil {
			s.Fatalf("waiting for %v, got %v", until, got)
		}
		for i := range batches {
			s.take(got, &batches[i])
		}
	}
	return got
}

// holds reads a partition from its start to its end with a new fetcher, and
// compares the keys.
func (s *wire) holds(at tp, keys string) {
	s.Helper()
	r := s.bounds(at)
	got := s.readFrom(at, r.Start, r.End)
	if want := strings.Fields(keys); !slices.Equal(got, want) {
		s.Fatalf("%v holds %v; want %v", at, got, want)
	}
}

// readFrom reads a partition from one offset to another.
func (s *wire) readFrom(at tp, from, to int64) []string {
	s.Helper()
	f := s.fetcher(places{at: from})
	defer f.Close()
	return s.read(f, places{at: to})[at].keys
}

// bounds are the log start and the high watermark once no transaction is open
// in a partition. The markers of a round may be written a little after its
// commit was answered; a reader of committed records waits for them.
func (s *wire) bounds(at tp) runtime.LogRange {
	s.Helper()
	r := s.identified(at)
	if r.Start < r.End {
		f := s.fetcher(places{at: r.Start})
		defer f.Close()
		for next := r.Start; next < r.End; r = s.identified(at) {
			next = s.read(f, places{at: r.End})[at].next
		}
	}
	r.Topic = store.LogID{}
	return r
}

// identified is bounds with the identity of the topic.
func (s *wire) identified(at tp) runtime.LogRange {
	s.Helper()
	ranges, err := s.tr.Offsets(s.ctx, []tp{at})
	s.ok(err)
	r, ok := ranges[at]
	if !ok {
		s.Fatalf("no offsets of %v in %v", at, ranges)
	}
	return r
}

// end is the high watermark once no transaction is open in a partition.
func (s *wire) end(at tp) int64 {
	s.Helper()
	return s.bounds(at).End
}

// highWatermark is the end of a partition as it is, open transactions included.
func (s *wire) highWatermark(at tp) int64 {
	s.Helper()
	return s.identified(at).End
}

// pollOnce returns the first records of a partition from an offset.
func (s *wire) pollOnce(at tp, from int64) []record.Record {
	s.Helper()
	f := s.fetcher(places{at: from})
	defer f.Close()
	for {
		for _, b := range f.Poll(s.ctx, 0) {
			s.ok(b.Err)
			if len(b.Records) > 0 {
				return b.Records
			}
		}
		s.ok(s.ctx.Err())
	}
}

// stands wants a partition to be read to an offset and no further for now:
// a record in another partition, sent afterwards, comes and nothing else.
func (s *wire) stands(f runtime.Fetcher, at tp, canary runtime.Producer) {
	s.Helper()
	other := s.tp("in", 3)
	from := s.end(other)
	f.Set(places{other: from})
	s.send(canary, s.words("in", 3, "canary canary canary"))
	if got := s.read(f, places{other: from + 3}); len(got[at].keys) > 0 || got[at].next > 0 {
		s.Fatalf("%v came before its time: %+v", at, got[at])
	}
	f.Remove([]tp{other})
}
