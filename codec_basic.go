package weir

import (
	"encoding/binary"
	"fmt"
	"math"
	"reflect"
)

// String is the codec of strings: their bytes, as Kafka's StringSerializer
// writes them.
type String struct{}

func (String) Append(dst []byte, v string) ([]byte, error) { return append(dst, v...), nil }
func (String) Decode(b []byte) (string, error)             { return string(b), nil }
func (String) Name() string                                { return "string" }

// Bytes is the codec of byte slices: themselves. Null is nil.
type Bytes struct{}

func (Bytes) Append(dst, v []byte) ([]byte, error) { return append(dst, v...), nil }
func (Bytes) Decode(b []byte) ([]byte, error)      { return append([]byte{}, b...), nil }
func (Bytes) Name() string                         { return "bytes" }

// Bool is the codec of booleans: one byte, 0 or 1.
type Bool struct{}

func (Bool) Append(dst []byte, v bool) ([]byte, error) {
	if v {
		return append(dst, 1), nil
	}
	return append(dst, 0), nil
}

func (Bool) Decode(b []byte) (bool, error) {
	if len(b) != 1 || b[0] > 1 {
		return false, fmt.Errorf("%d bytes %.8x are no bool, which is one byte 0 or 1", len(b), b)
	}
	return b[0] == 1, nil
}

func (Bool) Name() string { return "bool" }

// Signed is the codec of signed integers of every size: 8 bytes, big-endian,
// with the sign bit flipped, so that byte order is numeric order and a range
// of a table is a range of numbers. All sizes share the format, so a type can
// be widened later. It is not what Java's LongSerializer writes; for topics
// shared with it use JavaLong or JavaInteger.
type Signed[T int | int8 | int16 | int32 | int64] struct{}

func (Signed[T]) Append(dst []byte, v T) ([]byte, error) {
	return binary.BigEndian.AppendUint64(dst, uint64(int64(v))^signBit), nil
}

func (Signed[T]) Decode(b []byte) (T, error) {
	n, err := fixed64(b)
	v := int64(n ^ signBit)
	if err == nil && int64(T(v)) != v {
		err = fmt.Errorf("%d does not fit %s", v, typeName[T]())
	}
	return T(v), err
}

func (Signed[T]) Name() string { return "ordered-int" }

// Unsigned is the codec of unsigned integers of every size: 8 bytes,
// big-endian.
type Unsigned[T uint | uint8 | uint16 | uint32 | uint64] struct{}

func (Unsigned[T]) Append(dst []byte, v T) ([]byte, error) {
	return binary.BigEndian.AppendUint64(dst, uint64(v)), nil
}

func (Unsigned[T]) Decode(b []byte) (T, error) {
	v, err := fixed64(b)
	if err == nil && uint64(T(v)) != v {
		err = fmt.Errorf("%d does not fit %s", v, typeName[T]())
	}
	return T(v), err
}

func (Unsigned[T]) Name() string { return "uint" }

// Float is the codec of floating point numbers: the IEEE 754 bits of the
// float64 as 8 big-endian bytes, the sign bit flipped for positive numbers and
// all bits for negative ones, so that byte order is numeric order.
type Float[T float32 | float64] struct{}

func (Float[T]) Append(dst []byte, v T) ([]byte, error) {
	n := math.Float64bits(float64(v))
	if n&signBit != 0 {
		n = ^n
	} else {
		n |= signBit
	}
	return binary.BigEndian.AppendUint64(dst, n), nil
}

func (Float[T]) Decode(b []byte) (T, error) {
	n, err := fixed64(b)
	if n&signBit != 0 {
		n &^= signBit
	} else {
		n = ^n
	}
	f := math.Float64frombits(n)
	if v := T(f); err == nil && float64(v) != f && f == f {
		err = fmt.Errorf("%v does not fit %s", f, typeName[T]())
	}
	return T(f), err
}

func (Float[T]) Name() string { return "ordered-float" }

// JavaLong is the codec of Kafka's LongSerializer: 8 bytes big-endian, two's
// complement. As keys negative numbers sort after positive ones.
type JavaLong struct{}

func (JavaLong) Append(dst []byte, v int64) ([]byte, error) {
	return binary.BigEndian.AppendUint64(dst, uint64(v)), nil
}

func (JavaLong) Decode(b []byte) (int64, error) {
	n, err := fixed64(b)
	return int64(n), err
}

func (JavaLong) Name() string { return "java-long" }

// JavaInteger is the codec of Kafka's IntegerSerializer: 4 bytes big-endian,
// two's complement.
type JavaInteger struct{}

func (JavaInteger) Append(dst []byte, v int32) ([]byte, error) {
	return binary.BigEndian.AppendUint32(dst, uint32(v)), nil
}

func (JavaInteger) Decode(b []byte) (int32, error) {
	if len(b) != 4 {
		return 0, fmt.Errorf("has %d bytes, want 4", len(b))
	}
	return int32(binary.BigEndian.Uint32(b)), nil
}

func (JavaInteger) Name() string { return "java-integer" }

const signBit = 1 << 63

func fixed64(b []byte) (uint64, error) {
	if len(b) != 8 {
		return 0, fmt.Errorf("has %d bytes, want 8", len(b))
	}
	return binary.BigEndian.Uint64(b), nil
}

// named is the codec of types such as `type Carrier string`: the codec of the
// type underneath, by reflection.
type named[T, U any] struct{ under Codec[U] }

func (c named[T, U]) Append(dst []byte, v T) ([]byte, error) {
	u := reflect.ValueOf(&v).Elem().Convert(reflect.TypeFor[U]())
	return c.under.Append(dst, u.Interface().(U))
}

func (c named[T, U]) Decode(b []byte) (v T, err error) {
	u, err := c.under.Decode(b)
	if err == nil {
		reflect.ValueOf(&v).Elem().Set(reflect.ValueOf(u).Convert(reflect.TypeFor[T]()))
	}
	return v, err
}

func (c named[T, U]) Name() string { return c.under.Name() }
