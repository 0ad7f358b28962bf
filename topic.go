package weir

import (
	"fmt"
	"math"
	"time"

	"github.com/weirstream/weir/core/record"
	"github.com/weirstream/weir/core/topology"
)

// A Topic is a Kafka topic with the types of its keys and values. One name
// stands for one topic: declaring it twice is fine as long as the types agree.
type Topic[K, V any] struct {
	decl   *topicDecl
	keys   Codec[K]
	values Codec[V]
}

// A topicDecl is a topic without its types.
type topicDecl struct {
	app          *App
	spec         topology.Topic
	keys, values any // Codec[K], Codec[V]
	info         TopicInfo
}

func (t *topicDecl) owner() *App   { return t.app }
func (t *topicDecl) where() string { return fmt.Sprintf("topic %q", t.spec.Name) }

func (t *topicDecl) setPartitions(n int) {
	if n <= 0 || n > math.MaxInt32 {
		t.app.problem(t.where(), fmt.Sprintf("cannot have %d partitions", n), "Partitions wants at least 1")
		return
	}
	t.spec.Partitions = int32(n)
}

// NewTopic declares a topic that belongs to the user: weir reads and writes
// it but does not create it unasked.
func NewTopic[K, V any](app *App, name string, opts ...TopicOption) *Topic[K, V] {
	d := &topicDecl{spec: topology.Topic{Name: name}}
	d.app = orDetached(app, d.where())
	for _, o := range opts {
		o.applyTopic(d)
	}
	return newTopic[K, V](d)
}

// newTopic resolves the codecs of a declaration and adds it to its
// application.
func newTopic[K, V any](d *topicDecl) *Topic[K, V] {
	t := &Topic[K, V]{decl: d}
	t.keys = codecOf[K](d.app, d.where(), "key", d.keys)
	t.values = codecOf[V](d.app, d.where(), "value", d.values)
	d.spec.KeyType, d.spec.ValueType = t.keys.Name(), t.values.Name()
	d.info = topicInfo(t)
	d.app.topics = append(d.app.topics, d)
	return t
}

func (t *Topic[K, V]) topicRef() *topicDecl {
	if t == nil {
		return nil
	}
	return t.decl
}

func (t *Topic[K, V]) key() encoder[K] { return encoder[K]{t.keys, t.decl} }

// Name returns the topic's name in Kafka.
func (t *Topic[K, V]) Name() string { return t.decl.spec.Name }

// Stream returns the stream of the topic's records.
func (t *Topic[K, V]) Stream() *Stream[K, V] {
	if t == nil {
		return detachedStream[K, V]("stream of a nil topic")
	}
	return newStream(t)
}

// Send sends a record. It leaves when the epoch commits, and never if that
// aborts. Its timestamp is the event time of the record at hand and its
// partition follows from the key, unless an option says otherwise. The agent
// must have declared the topic with Sends.
func (t *Topic[K, V]) Send(ctx Context, key K, value V, opts ...SendOption) error {
	e := ctx.engine()
	k, err := t.key().bytes(e, key)
	if err != nil {
		return err
	}
	v, err := t.values.Append(e.val[:0], value)
	if err != nil {
		return encodeError(t.decl.where(), "value", err)
	}
	e.val = v
	return e.send(t.decl.spec.Name, k, present(v), opts)
}

// SendNull sends a record with a null value: a tombstone.
func (t *Topic[K, V]) SendNull(ctx Context, key K, opts ...SendOption) error {
	e := ctx.engine()
	k, err := t.key().bytes(e, key)
	if err != nil {
		return err
	}
	return e.send(t.decl.spec.Name, k, nil, opts)
}

// EncodeKey returns the bytes of a key, for tools and tests.
func (t *Topic[K, V]) EncodeKey(key K) ([]byte, error) { return encode(t.keys, key) }

// EncodeValue returns the bytes of a value.
func (t *Topic[K, V]) EncodeValue(value V) ([]byte, error) { return encode(t.values, value) }

// DecodeKey returns the key that bytes stand for; a null key is the zero key.
func (t *Topic[K, V]) DecodeKey(b []byte) (K, error) { return decode(t.keys, b) }

// DecodeValue returns the value that bytes stand for; a null value is the
// zero value.
func (t *Topic[K, V]) DecodeValue(b []byte) (V, error) { return decode(t.values, b) }

// A SendOption changes one record that is sent: At, ToPartition, WithHeader.
type SendOption struct {
	kind   sendKind
	number int64
	header record.Header
}

type sendKind uint8

const (
	sendAt sendKind = iota
	sendTo
	sendHeader
)

// At sets the timestamp of a sent record.
func At(t time.Time) SendOption { return SendOption{kind: sendAt, number: t.UnixMilli()} }

// ToPartition sends to a partition by number instead of by key.
func ToPartition(p int32) SendOption { return SendOption{kind: sendTo, number: int64(p)} }

// WithHeader adds a header to a sent record.
func WithHeader(key string, value []byte) SendOption {
	return SendOption{kind: sendHeader, header: record.Header{Key: key, Value: value}}
}
