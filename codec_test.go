package weir_test

import (
	"bytes"
	"cmp"
	"encoding/hex"
	"errors"
	"math"
	"reflect"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/weirstream/weir"
)

type (
	carrier string
	number  int16
	count   uint8
	ratio   float64
	flag    bool
	blob    []byte
	point   struct{ X, Y int }
	holder  struct {
		Name string
		Next *holder `json:",omitempty"`
	}
	secret struct {
		Public string
		hidden func()
		Skip   chan int `json:"-"`
	}
	level int
)

func (l level) MarshalText() ([]byte, error)  { return []byte(strings.Repeat("x", int(l))), nil }
func (l *level) UnmarshalText(b []byte) error { *l = level(len(b)); return nil }

// version marshals itself, with methods on value and pointer.
type version struct{ major, minor byte }

func (v version) MarshalBinary() ([]byte, error) { return []byte{v.major, v.minor}, nil }
func (v *version) UnmarshalBinary(b []byte) error {
	if len(b) != 2 {
		return errors.New("a version has 2 bytes")
	}
	v.major, v.minor = b[0], b[1]
	return nil
}

func codec[T any](t testing.TB) weir.Codec[T] {
	t.Helper()
	c, err := weir.DefaultCodec[T]()
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// The formats are in topics and stores: they must not change.
func TestCodecFormats(t *testing.T) {
	t.Parallel()
	format(t, "héllo", "string", "68c3a96c6c6f")
	format(t, carrier("AA"), "string", "4141")
	format(t, []byte{0, 255}, "bytes", "00ff")
	format(t, blob{1}, "bytes", "01")
	format(t, true, "bool", "01")
	format(t, flag(false), "bool", "00")
	format(t, 0, "ordered-int", "8000000000000000")
	format(t, int8(-1), "ordered-int", "7fffffffffffffff")
	format(t, int64(math.MinInt64), "ordered-int", "0000000000000000")
	format(t, number(258), "ordered-int", "8000000000000102")
	format(t, uint16(258), "uint", "0000000000000102")
	format(t, count(255), "uint", "00000000000000ff")
	format(t, 1.0, "ordered-float", "bff0000000000000")
	format(t, ratio(-1), "ordered-float", "400fffffffffffff")
	format(t, float32(0.5), "ordered-float", "bfe0000000000000")
	format(t, version{1, 2}, "binary", "0102")
	format(t, &version{3, 4}, "binary", "0304")
	format(t, point{1, 2}, "json", hex.EncodeToString([]byte(`{"X":1,"Y":2}`)))
	format(t, map[string]int{"b": 1, "a": 2}, "json", hex.EncodeToString([]byte(`{"a":2,"b":1}`)))
	format(t, []string{"x"}, "json", hex.EncodeToString([]byte(`["x"]`)))
	format(t, &point{1, 2}, "json", hex.EncodeToString([]byte(`{"X":1,"Y":2}`)))
	format(t, holder{Name: "n", Next: &holder{Name: "m"}}, "json", hex.EncodeToString([]byte(`{"Name":"n","Next":{"Name":"m"}}`)))
	format(t, level(2), "json", hex.EncodeToString([]byte(`"xx"`)))
	formatWith[int64](t, weir.JavaLong{}, -2, "java-long", "fffffffffffffffe")
	formatWith[int32](t, weir.JavaInteger{}, 258, "java-integer", "00000102")
}

func format[T any](t *testing.T, v T, name, want string) {
	t.Helper()
	formatWith(t, codec[T](t), v, name, want)
}

func formatWith[T any](t *testing.T, c weir.Codec[T], v T, name, want string) {
	t.Helper()
	b, err := c.Append([]byte("prefix"), v)
	if err != nil {
		t.Fatal(err)
	}
	equal(t, "codec", c.Name(), name)
	equal(t, "bytes", hex.EncodeToString(b), hex.EncodeToString([]byte("prefix"))+want)
	back, err := c.Decode(b[len("prefix"):])
	if err != nil || !reflect.DeepEqual(back, v) {
		t.Errorf("%v came back as %v, %v", v, back, err)
	}
}

func TestCodecOfTime(t *testing.T) {
	t.Parallel()
	c := codec[time.Time](t)
	equal(t, "codec", c.Name(), "binary")
	at := time.Date(2020, 1, 2, 3, 4, 5, 6, time.UTC)
	b, err := c.Append(nil, at)
	if err != nil {
		t.Fatal(err)
	}
	if back, err := c.Decode(b); err != nil || !back.Equal(at) {
		t.Errorf("%v came back as %v, %v", at, back, err)
	}
}

func TestNoDefaultCodec(t *testing.T) {
	t.Parallel()
	refused[func()](t, "func() cannot be encoded")
	refused[chan int](t, "chan int cannot be encoded")
	refused[complex128](t, "complex128 cannot be encoded")
	refused[[]func()](t, "func() cannot be encoded")
	refused[struct{ F map[string]chan int }](t, "field F of struct { F map[string]chan int }: chan int cannot be encoded")
	refused[map[point]int](t, "map[weir_test.point]int cannot be encoded: JSON objects have strings or integers as keys")
	codec[secret](t) // unexported and skipped fields do not count
	codec[holder](t) // recursion ends
	codec[any](t)
	codec[map[carrier]int](t)
}

func refused[T any](t *testing.T, want string) {
	t.Helper()
	_, err := weir.DefaultCodec[T]()
	if err == nil || err.Error() != want {
		t.Errorf("error is %v, want %s", err, want)
	}
}

func TestDecodeRefuses(t *testing.T) {
	t.Parallel()
	refuse[int64](t, "")
	refuse[int64](t, "1234567")
	refuse[int64](t, "123456789")
	refuse[int8](t, "\x80\x00\x00\x00\x00\x00\x00\x80")
	refuse[number](t, "\x80\x00\x00\x00\x00\x01\x00\x00")
	refuse[uint8](t, "\x00\x00\x00\x00\x00\x00\x01\x00")
	refuse[count](t, "\x00\x00\x00\x00\x00\x00\x01\x00")
	refuse[float64](t, "1")
	refuse[float32](t, "\xbf\xf0\x00\x00\x00\x00\x00\x01")
	refuse[bool](t, "")
	refuse[bool](t, "\x02")
	refuse[bool](t, "\x00\x00")
	refuse[version](t, "123")
	refuse[*version](t, "1")
	refuse[point](t, "")
	refuse[point](t, `{"X":1} {"X":2}`)
	refuse[point](t, `{"X":"1"}`)
	if _, err := (weir.JavaInteger{}).Decode([]byte("12345678")); err == nil {
		t.Error("8 bytes were taken for a Java integer")
	}
	if _, err := codec[*version](t).Append(nil, nil); err == nil {
		t.Error("a nil pointer was encoded")
	}
}

func refuse[T any](t *testing.T, b string) {
	t.Helper()
	if v, err := codec[T](t).Decode([]byte(b)); err == nil {
		t.Errorf("%q was decoded as %v", b, v)
	}
}

// A decoded value must not share memory with the bytes it came from.
func TestDecodeCopies(t *testing.T) {
	t.Parallel()
	b := []byte("abc")
	v, _ := weir.Bytes{}.Decode(b)
	b[0] = 'x'
	equal(t, "value", string(v), "abc")
}

func TestCodecRoundTrip(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		trip(t, rapid.String())
		trip(t, rapid.Bool())
		trip(t, rapid.Int())
		trip(t, rapid.Int8())
		trip(t, rapid.Int16())
		trip(t, rapid.Int32())
		trip(t, rapid.Int64())
		trip(t, rapid.Uint())
		trip(t, rapid.Uint8())
		trip(t, rapid.Uint16())
		trip(t, rapid.Uint32())
		trip(t, rapid.Uint64())
		trip(t, rapid.Float32())
		trip(t, rapid.Float64())
		trip(t, rapid.SliceOf(rapid.Byte()))
		trip(t, rapid.Map(rapid.String(), func(s string) carrier { return carrier(s) }))
		trip(t, rapid.Map(rapid.Int16(), func(n int16) number { return number(n) }))
		trip(t, rapid.MapOf(rapid.StringMatching(`[a-z]*`), rapid.Int()))
	})
}

func trip[T any](t *rapid.T, g *rapid.Generator[T]) {
	c, err := weir.DefaultCodec[T]()
	if err != nil {
		t.Fatal(err)
	}
	v := g.Draw(t, reflect.TypeFor[T]().String())
	b, err := c.Append(nil, v)
	if err != nil {
		t.Fatal(err)
	}
	back, err := c.Decode(b)
	if err != nil || !reflect.DeepEqual(back, v) && len(b) > 0 {
		t.Fatalf("%#v came back as %#v, %v", v, back, err)
	}
}

// Byte order of encoded numbers is numeric order.
func TestCodecOrder(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		ordered(t, rapid.Int64())
		ordered(t, rapid.Int8())
		ordered(t, rapid.Map(rapid.Int16(), func(n int16) number { return number(n) }))
		ordered(t, rapid.Uint64())
		ordered(t, rapid.Float64())
		ordered(t, rapid.Float32())
		ordered(t, rapid.String())
	})
}

func ordered[T cmp.Ordered](t *rapid.T, g *rapid.Generator[T]) {
	c, err := weir.DefaultCodec[T]()
	if err != nil {
		t.Fatal(err)
	}
	v, w := g.Draw(t, "v"), g.Draw(t, "w")
	a, _ := c.Append(nil, v)
	b, _ := c.Append(nil, w)
	if got, want := bytes.Compare(a, b), cmp.Compare(v, w); got != want && v != w {
		t.Fatalf("%v and %v: byte order is %d, want %d", v, w, got, want)
	}
}

func FuzzDecodeString(f *testing.F)  { fuzz[string](f, true) }
func FuzzDecodeBytes(f *testing.F)   { fuzz[[]byte](f, true) }
func FuzzDecodeBool(f *testing.F)    { fuzz[bool](f, true) }
func FuzzDecodeInt8(f *testing.F)    { fuzz[int8](f, true) }
func FuzzDecodeInt64(f *testing.F)   { fuzz[int64](f, true) }
func FuzzDecodeUint32(f *testing.F)  { fuzz[uint32](f, true) }
func FuzzDecodeFloat64(f *testing.F) { fuzz[float64](f, true) }
func FuzzDecodeNamed(f *testing.F)   { fuzz[number](f, true) }
func FuzzDecodeBinary(f *testing.F)  { fuzz[version](f, true) }
func FuzzDecodeJSON(f *testing.F)    { fuzz[holder](f, false) }
func FuzzDecodeJavaInteger(f *testing.F) {
	fuzzCodec[int32](f, weir.JavaInteger{}, true)
}

// fuzz checks that a decoder fails or gives a value that encodes again: to the
// same bytes when there is one form only, else to bytes that give it back.
func fuzz[T any](f *testing.F, canonical bool) {
	f.Helper()
	fuzzCodec(f, codec[T](f), canonical)
}

func fuzzCodec[T any](f *testing.F, c weir.Codec[T], canonical bool) {
	f.Helper()
	for _, s := range []string{"", "\x00", "\x01", "\x80\x00\x00\x00\x00\x00\x00\x07", "1234", `{"Name":"x","Next":{}}`, "null"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		before := bytes.Clone(b)
		v, err := c.Decode(b)
		if !bytes.Equal(b, before) {
			t.Fatal("Decode changed its input")
		}
		if err != nil {
			return
		}
		again, err := c.Append(nil, v)
		if err != nil {
			t.Fatalf("%v was decoded but cannot be encoded: %v", v, err)
		}
		if canonical && !bytes.Equal(again, b) {
			t.Fatalf("%x came back as %x", b, again)
		}
		if w, err := c.Decode(again); err != nil || !canonical && !reflect.DeepEqual(v, w) {
			t.Fatalf("%v came back as %v, %v", v, w, err)
		}
	})
}
