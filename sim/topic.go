package sim

import (
	"strconv"
	"strings"
	"time"

	"github.com/weirstream/weir"
	"github.com/weirstream/weir/core/record"
	"github.com/weirstream/weir/core/task"
)

// A SendOption changes one record that a test sends.
type SendOption func(*record.Record)

// At sets the event time of a record. Without it that is Now.
func At(t time.Time) SendOption { return func(r *record.Record) { r.Time = t.UnixMilli() } }

// To sends to a partition by number instead of by key.
func To(partition int32) SendOption { return func(r *record.Record) { r.Partition = partition } }

// Header adds a header to a record.
func Header(key, value string) SendOption {
	return func(r *record.Record) {
		r.Headers = append(r.Headers, record.Header{Key: key, Value: []byte(value)})
	}
}

// Send writes a record to a topic, as another application would.
func Send[K, V any](s *App, topic *weir.Topic[K, V], key K, value V, opts ...SendOption) {
	s.t.Helper()
	v, err := topic.EncodeValue(value)
	if err != nil {
		s.t.Fatalf("sim: sending to topic %q: %v", topic.Name(), err)
	}
	s.sendKeyed(topic.Name(), v, opts)(topic.EncodeKey(key))
}

// SendNull writes a record with a null value, a tombstone.
func SendNull[K, V any](s *App, topic *weir.Topic[K, V], key K, opts ...SendOption) {
	s.t.Helper()
	s.sendKeyed(topic.Name(), nil, opts)(topic.EncodeKey(key))
}

func (s *App) sendKeyed(topic string, value []byte, opts []SendOption) func(key []byte, err error) {
	return func(key []byte, err error) {
		s.t.Helper()
		if err != nil {
			s.t.Fatalf("sim: sending to topic %q: %v", topic, err)
		}
		s.SendBytes(topic, key, value, opts...)
	}
}

// SendBytes writes a record as bytes; nil is null. It can write what no
// codec would.
func (s *App) SendBytes(topic string, key, value []byte, opts ...SendOption) {
	s.t.Helper()
	ps := s.topic(topic)
	r := record.Record{Topic: topic, Partition: -1, Time: s.millis(), Key: key, Value: value}
	for _, o := range opts {
		o(&r)
	}
	if r.Partition < 0 {
		r.Partition = 0
		if key != nil {
			r.Partition = record.Partition(key, int32(len(ps)))
		}
	}
	if int(r.Partition) >= len(ps) {
		s.t.Fatalf("sim: topic %q has %d partitions, there is no partition %d", topic, len(ps), r.Partition)
	}
	ps[r.Partition].append([]record.Record{r}, nil)
}

// A Message is a record of a topic.
type Message[K, V any] struct {
	Key       K
	Value     V
	Null      bool // the value is null
	Time      time.Time
	Partition int32
	Offset    int64
	Headers   []record.Header
}

// Read returns what a read-committed consumer has seen of a topic since the
// start, partition by partition, records sent by the test included.
func Read[K, V any](s *App, topic *weir.Topic[K, V]) []Message[K, V] {
	s.t.Helper()
	var ms []Message[K, V]
	for _, r := range s.ReadBytes(topic.Name()) {
		k, err := topic.DecodeKey(r.Key)
		if err != nil {
			s.t.Fatalf("sim: key of %s offset %d: %v", r.TP(), r.Offset, err)
		}
		v, err := topic.DecodeValue(r.Value)
		if err != nil {
			s.t.Fatalf("sim: value of %s offset %d: %v", r.TP(), r.Offset, err)
		}
		ms = append(ms, Message[K, V]{k, v, r.Value == nil, time.UnixMilli(r.Time).UTC(), r.Partition, r.Offset, r.Headers})
	}
	return ms
}

// ReadBytes is Read without codecs.
func (s *App) ReadBytes(topic string) []record.Record {
	s.t.Helper()
	var all []record.Record
	for _, p := range s.topic(topic) {
		rs, _, err := p.fetch(p.start, len(p.log))
		if err != nil {
			s.t.Fatalf("sim: reading %s: %v", p.tp, err)
		}
		all = append(all, rs...)
	}
	return all
}

// A DeadLetter is a record that an agent gave up, with why.
type DeadLetter struct {
	// Key, Value and Headers are the original's, byte for byte.
	Key, Value []byte
	Headers    []record.Header
	Time       time.Time
	// Topic, Partition and Offset are where the original is.
	Topic     string
	Partition int32
	Offset    int64
	// Agent gave up after Attempts attempts, the last of which failed with
	// Error; Stack is that of a panic.
	Agent    string
	Attempts int
	Error    string
	Stack    string
}

// DeadLetters returns the dead letters of a topic.
func (s *App) DeadLetters(topic string) []DeadLetter {
	s.t.Helper()
	var all []DeadLetter
	for _, r := range s.ReadBytes(topic) {
		d := DeadLetter{Key: r.Key, Value: r.Value, Time: time.UnixMilli(r.Time).UTC()}
		for _, h := range r.Headers {
			if !d.header(h) {
				d.Headers = append(d.Headers, h)
			}
		}
		if d.Agent == "" {
			s.t.Fatalf("sim: %s offset %d is no dead letter: it does not say which agent gave it up", r.TP(), r.Offset)
		}
		all = append(all, d)
	}
	return all
}

// header takes a header that weir added.
func (d *DeadLetter) header(h record.Header) bool {
	if !strings.HasPrefix(h.Key, "weir-") {
		return false
	}
	number := func() int64 {
		n, _ := strconv.ParseInt(string(h.Value), 10, 64)
		return n
	}
	switch h.Key {
	case task.HeaderError:
		d.Error = string(h.Value)
	case task.HeaderStack:
		d.Stack = string(h.Value)
	case task.HeaderAgent:
		d.Agent = string(h.Value)
	case task.HeaderTopic:
		d.Topic = string(h.Value)
	case task.HeaderPartition:
		d.Partition = int32(number())
	case task.HeaderOffset:
		d.Offset = number()
	case task.HeaderAttempts:
		d.Attempts = int(number())
	case task.HeaderTime:
	default:
		return false
	}
	return true
}

// Committed returns the committed offset of the application in a partition:
// that of the next record to process. It is 0 before the first commit.
func (s *App) Committed(topic string, partition int32) int64 {
	s.t.Helper()
	if ps := s.topic(topic); partition < 0 || int(partition) >= len(ps) {
		s.t.Fatalf("sim: topic %q has no partition %d", topic, partition)
	}
	return s.broker.offsets[record.TopicPartition{Topic: topic, Partition: partition}].at
}
