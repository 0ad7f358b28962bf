package weir

import (
	"encoding"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
)

// DefaultCodec returns the codec that weir uses for a type when no option
// names one:
//
//   - strings, byte slices, booleans, integers and floats, and types made of
//     them: String, Bytes, Bool, Signed, Unsigned, Float;
//   - types with MarshalBinary and UnmarshalBinary: those;
//   - structs, maps, slices, arrays, pointers and interfaces: JSON.
//
// It fails for what cannot be encoded: functions, channels, complex numbers,
// and structs with such fields.
func DefaultCodec[T any]() (Codec[T], error) {
	if c, ok := basicCodec[T]().(Codec[T]); ok {
		return c, nil
	}
	t := reflect.TypeFor[T]()
	if isBinary(t) {
		return binaryCodec[T]{}, nil
	}
	if c := namedCodec[T](t); c != nil && !isJSON(t) {
		return c, nil
	}
	if err := encodable(t, nil); err != nil {
		return nil, err
	}
	return JSON[T]{}, nil
}

// basicCodec returns the codec of a predeclared type, or nil.
func basicCodec[T any]() any {
	switch any(*new(T)).(type) {
	case string:
		return String{}
	case []byte:
		return Bytes{}
	case bool:
		return Bool{}
	case int:
		return Signed[int]{}
	case int8:
		return Signed[int8]{}
	case int16:
		return Signed[int16]{}
	case int32:
		return Signed[int32]{}
	case int64:
		return Signed[int64]{}
	case uint:
		return Unsigned[uint]{}
	case uint8:
		return Unsigned[uint8]{}
	case uint16:
		return Unsigned[uint16]{}
	case uint32:
		return Unsigned[uint32]{}
	case uint64:
		return Unsigned[uint64]{}
	case float32:
		return Float[float32]{}
	case float64:
		return Float[float64]{}
	}
	return nil
}

// namedCodec returns the codec of a type whose underlying type is basic, or
// nil.
func namedCodec[T any](t reflect.Type) Codec[T] {
	switch t.Kind() {
	case reflect.String:
		return named[T, string]{String{}}
	case reflect.Bool:
		return named[T, bool]{Bool{}}
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		return namedInt[T]{t}
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return namedUint[T]{t}
	case reflect.Float32:
		return named[T, float32]{Float[float32]{}}
	case reflect.Float64:
		return named[T, float64]{Float[float64]{}}
	case reflect.Slice:
		if t.Elem() == reflect.TypeFor[byte]() {
			return named[T, []byte]{Bytes{}}
		}
	default:
	}
	return nil
}

// namedInt is the codec of types such as `type ID int32`.
type namedInt[T any] struct{ t reflect.Type }

func (namedInt[T]) Append(dst []byte, v T) ([]byte, error) {
	return Signed[int64]{}.Append(dst, reflect.ValueOf(&v).Elem().Int())
}

func (c namedInt[T]) Decode(b []byte) (v T, err error) {
	n, err := Signed[int64]{}.Decode(b)
	if err == nil && c.t.OverflowInt(n) {
		err = fmt.Errorf("%d does not fit %s", n, c.t)
	}
	reflect.ValueOf(&v).Elem().SetInt(n)
	return v, err
}

func (namedInt[T]) Name() string { return Signed[int64]{}.Name() }

// namedUint is the codec of types such as `type ID uint32`.
type namedUint[T any] struct{ t reflect.Type }

func (namedUint[T]) Append(dst []byte, v T) ([]byte, error) {
	return Unsigned[uint64]{}.Append(dst, reflect.ValueOf(&v).Elem().Uint())
}

func (c namedUint[T]) Decode(b []byte) (v T, err error) {
	n, err := Unsigned[uint64]{}.Decode(b)
	if err == nil && c.t.OverflowUint(n) {
		err = fmt.Errorf("%d does not fit %s", n, c.t)
	}
	reflect.ValueOf(&v).Elem().SetUint(n)
	return v, err
}

func (namedUint[T]) Name() string { return Unsigned[uint64]{}.Name() }

// JSON is the codec of encoding/json. Map keys are sorted, so equal values
// give equal bytes and structs can be keys; their order is that of the text.
type JSON[T any] struct{}

func (JSON[T]) Append(dst []byte, v T) ([]byte, error) {
	b, err := json.Marshal(v)
	return append(dst, b...), err
}

func (JSON[T]) Decode(b []byte) (v T, err error) {
	err = json.Unmarshal(b, &v)
	return v, err
}

func (JSON[T]) Name() string { return "json" }

var (
	binaryMarshaler   = reflect.TypeFor[encoding.BinaryMarshaler]()
	binaryUnmarshaler = reflect.TypeFor[encoding.BinaryUnmarshaler]()
	jsonMarshaler     = reflect.TypeFor[json.Marshaler]()
	textMarshaler     = reflect.TypeFor[encoding.TextMarshaler]()
)

// isBinary reports whether values of t can marshal and unmarshal themselves,
// with methods of the value or of its address.
func isBinary(t reflect.Type) bool {
	if t.Kind() == reflect.Interface {
		return false
	}
	if t.Kind() != reflect.Pointer {
		t = reflect.PointerTo(t)
	}
	return t.Implements(binaryMarshaler) && t.Implements(binaryUnmarshaler)
}

func isJSON(t reflect.Type) bool {
	p := reflect.PointerTo(t)
	return p.Implements(jsonMarshaler) || p.Implements(textMarshaler)
}

// binaryCodec is the codec of types with MarshalBinary and UnmarshalBinary.
type binaryCodec[T any] struct{}

func (binaryCodec[T]) Append(dst []byte, v T) ([]byte, error) {
	if rv := reflect.ValueOf(v); rv.Kind() == reflect.Pointer && rv.IsNil() {
		return dst, errors.New("nil pointer")
	}
	var m any = v
	if _, ok := m.(encoding.BinaryMarshaler); !ok {
		m = &v
	}
	if a, ok := m.(encoding.BinaryAppender); ok {
		return a.AppendBinary(dst)
	}
	b, err := m.(encoding.BinaryMarshaler).MarshalBinary()
	return append(dst, b...), err
}

func (binaryCodec[T]) Decode(b []byte) (v T, err error) {
	// Implementations may keep what they get; ours is not theirs to keep.
	b = append([]byte{}, b...)
	if t := reflect.TypeFor[T](); t.Kind() == reflect.Pointer {
		v = reflect.New(t.Elem()).Interface().(T)
		err = any(v).(encoding.BinaryUnmarshaler).UnmarshalBinary(b)
		return v, err
	}
	err = any(&v).(encoding.BinaryUnmarshaler).UnmarshalBinary(b)
	return v, err
}

func (binaryCodec[T]) Name() string { return "binary" }

// encodable finds parts of a type that encoding/json refuses. seen are the
// types around it.
func encodable(t reflect.Type, seen []reflect.Type) error {
	if isJSON(t) {
		return nil
	}
	for _, s := range seen {
		if s == t {
			return nil
		}
	}
	seen = append(seen, t)
	switch t.Kind() {
	case reflect.Func, reflect.Chan, reflect.Complex64, reflect.Complex128, reflect.UnsafePointer:
		return fmt.Errorf("%s cannot be encoded", t)
	case reflect.Pointer, reflect.Slice, reflect.Array:
		return encodable(t.Elem(), seen)
	case reflect.Map:
		return encodableMap(t, seen)
	case reflect.Struct:
		return encodableStruct(t, seen)
	default:
		return nil
	}
}

func encodableMap(t reflect.Type, seen []reflect.Type) error {
	k := t.Key()
	ordinary := k.Kind() == reflect.String || k.Kind() >= reflect.Int && k.Kind() <= reflect.Uintptr
	if !ordinary && !k.Implements(textMarshaler) {
		return fmt.Errorf("%s cannot be encoded: JSON objects have strings or integers as keys", t)
	}
	return encodable(t.Elem(), seen)
}

func encodableStruct(t reflect.Type, seen []reflect.Type) error {
	for i := range t.NumField() {
		f := t.Field(i)
		if f.Tag.Get("json") == "-" || !f.IsExported() && !f.Anonymous {
			continue
		}
		if err := encodable(f.Type, seen); err != nil {
			return fmt.Errorf("field %s of %s: %w", f.Name, t, err)
		}
	}
	return nil
}
