package weir

import (
	"errors"
	"fmt"
	"reflect"

	"github.com/weirstream/weir/core/record"
)

// A Codec turns values of one type into bytes and back. It is used by several
// tasks at once and must be safe for that, which is easiest without state.
//
// A codec of keys must be deterministic, equal keys giving equal bytes:
// partitioning and tables go by the bytes. Ranges of a table go by byte order.
type Codec[T any] interface {
	// Append appends the bytes of v to dst and returns the longer slice. It
	// does not keep dst.
	Append(dst []byte, v T) ([]byte, error)
	// Decode returns the value of b. It does not keep b and does not change
	// it. It must fail, not panic, on bytes that are no value.
	Decode(b []byte) (T, error)
	// Name says what the bytes are, such as "json" or "int64". Codecs of
	// one type and one name must write the same bytes.
	Name() string
}

// Conditions of encoding that callers may branch on with errors.Is.
var (
	// ErrDecode marks bytes that are no value of the expected type.
	ErrDecode = errors.New("weir: cannot decode")
	// ErrEncode marks a value that its codec refused.
	ErrEncode = errors.New("weir: cannot encode")
)

// A DecodeError says which record could not be decoded. It matches ErrDecode.
type DecodeError struct {
	Topic     string
	Partition int32
	Offset    int64
	Part      string // "key" or "value"
	Err       error
}

func (e *DecodeError) Error() string {
	return fmt.Sprintf("%v: %s of record %s/%d at offset %d: %v; check that the topic's types and codecs are those of its writer, or give the agent OnError(Skip()) or OnError(DeadLetter(topic))",
		ErrDecode, e.Part, e.Topic, e.Partition, e.Offset, e.Err)
}

// Unwrap returns ErrDecode and the cause.
func (e *DecodeError) Unwrap() []error { return []error{ErrDecode, e.Err} }

func decodeError(r *record.Record, part string, err error) error {
	return &DecodeError{Topic: r.Topic, Partition: r.Partition, Offset: r.Offset, Part: part, Err: err}
}

func encodeError(where, part string, err error) error {
	return fmt.Errorf("%w: %s for %s: %w", ErrEncode, part, where, err)
}

// encode returns the bytes of v in a new slice that is not nil.
func encode[T any](c Codec[T], v T) ([]byte, error) {
	b, err := c.Append(nil, v)
	return present(b), err
}

// decode is Decode with null as the zero value.
func decode[T any](c Codec[T], b []byte) (v T, err error) {
	if b == nil {
		return v, nil
	}
	return c.Decode(b)
}

// present makes empty bytes that are not null.
func present(b []byte) []byte {
	if b == nil {
		return []byte{}
	}
	return b
}

// codecOf resolves the codec of a declaration: the one that an option gave,
// or the default one of the type. What cannot be is reported, and stands as a
// codec that always fails.
func codecOf[T any](app *App, where, part string, option any) Codec[T] {
	if option != nil {
		c, ok := option.(Codec[T])
		if ok && !isNil(c) {
			return c
		}
		app.problem(where, fmt.Sprintf("has %ss of type %s but was given the codec %T for them", part, typeName[T](), option),
			"give it a weir.Codec["+typeName[T]()+"]")
		return noCodec[T]{}
	}
	c, err := DefaultCodec[T]()
	if err != nil {
		app.problem(where, fmt.Sprintf("has no codec for its %ss: %v", part, err),
			"pass one with an option, or use a type that can be encoded")
		return noCodec[T]{}
	}
	return c
}

func isNil(v any) bool {
	rv := reflect.ValueOf(v)
	return rv.Kind() == reflect.Pointer && rv.IsNil()
}

// sameCodec reports whether two codecs write the same bytes for the same
// value.
func sameCodec[A, B any](a Codec[A], b Codec[B]) bool {
	return reflect.TypeFor[A]() == reflect.TypeFor[B]() && a.Name() == b.Name()
}

func typeName[T any]() string { return reflect.TypeFor[T]().String() }

// noCodec stands where there is none.
type noCodec[T any] struct{}

func (noCodec[T]) Append(dst []byte, _ T) ([]byte, error) {
	return dst, fmt.Errorf("no codec for %s", typeName[T]())
}

func (noCodec[T]) Decode([]byte) (v T, err error) {
	return v, fmt.Errorf("no codec for %s", typeName[T]())
}

func (noCodec[T]) Name() string { return "none" }

// An encoder makes the bytes of keys in the scratch of an engine.
type encoder[K any] struct {
	codec Codec[K]
	of    interface{ where() string }
}

// bytes returns the bytes of a key, valid until the next key is encoded.
func (x encoder[K]) bytes(e *engine, key K) ([]byte, error) {
	b, err := x.codec.Append(e.key[:0], key)
	if err != nil {
		return nil, encodeError(x.of.where(), "key", err)
	}
	e.key = b
	return present(b), nil
}
