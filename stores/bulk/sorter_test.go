package bulk

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"sync"
	"testing"

	"pgregory.net/rapid"

	"github.com/weirstream/weir/core/store"
)

// A memFS keeps files in memory.
type memFS struct {
	mu    sync.Mutex
	files map[string]*bytes.Buffer
	fail  error
	after int // writes until fail
}

func newMemFS() *memFS { return &memFS{files: make(map[string]*bytes.Buffer)} }

func (m *memFS) Create(name string) (io.WriteCloser, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	b := new(bytes.Buffer)
	m.files[name] = b
	return memFile{m, b}, nil
}

type memFile struct {
	fs *memFS
	*bytes.Buffer
}

func (f memFile) Write(p []byte) (int, error) {
	f.fs.mu.Lock()
	defer f.fs.mu.Unlock()
	if f.fs.after--; f.fs.fail != nil && f.fs.after < 0 {
		return 0, f.fs.fail
	}
	return f.Buffer.Write(p)
}

func (memFile) Close() error { return nil }

func (m *memFS) Open(name string) (io.ReadCloser, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return io.NopCloser(bytes.NewReader(m.files[name].Bytes())), nil
}

func (m *memFS) Remove(name string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.files[name] == nil {
		return fmt.Errorf("no file %s", name)
	}
	delete(m.files, name)
	return nil
}

// tiny returns a sorter whose runs hold a few entries.
func tiny(fs FS, half int) *Sorter {
	s := New(fs, 0)
	s.half = half
	s.cur = newRun(half)
	return s
}

type failer interface {
	Fatalf(format string, args ...any)
}

func collect(t failer, s *Sorter) (keys []string, values map[string]string) {
	values = make(map[string]string)
	err := s.Each(func(k, v []byte) error {
		keys = append(keys, string(k))
		values[string(k)] = string(v)
		return nil
	})
	if err != nil {
		t.Fatalf("%v", err)
	}
	return keys, values
}

// TestSorter compares with a map, over every number of runs and levels.
func TestSorter(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		fs := newMemFS()
		s := tiny(fs, rapid.SampledFrom([]int{60, 300, 4000, 1 << 20}).Draw(t, "run bytes"))
		want := make(map[string]string)
		spread := rapid.IntRange(1, 300).Draw(t, "keys")
		n := rapid.IntRange(0, 600).Draw(t, "writes")
		if rapid.Bool().Draw(t, "many") {
			n *= 12
		}
		seed := rapid.IntRange(0, 1000).Draw(t, "seed")
		for i := range n {
			k := (i*7919 + i*i/7 + seed) % spread
			key := fmt.Appendf(nil, "%c\x00%d\xff", k, k/3)
			if k%5 == 0 {
				key = bytes.Repeat([]byte{0}, k/5)
			}
			if (i+k)%4 == 0 {
				delete(want, string(key))
				if err := s.Add(key, nil); err != nil {
					t.Fatal(err)
				}
				continue
			}
			value := fmt.Appendf([]byte{}, "%.*d", i%30, i)
			want[string(key)] = string(value)
			if err := s.Add(key, value); err != nil {
				t.Fatal(err)
			}
		}
		keys, values := collect(t, s)
		if !maps.Equal(values, want) {
			t.Fatalf("got %q, want %q", values, want)
		}
		if !slices.Equal(keys, slices.Sorted(maps.Keys(want))) {
			t.Fatalf("not in order, or twice: %q", keys)
		}
		s.Close()
		if len(fs.files) > 0 {
			t.Fatalf("%d files are left", len(fs.files))
		}
	})
}

// The last write of a key counts, also of one that takes no room, as the delete
// of an empty key.
func TestSorterKeepsOrderWithinARun(t *testing.T) {
	t.Parallel()
	for _, value := range [][]byte{{}, []byte("v")} {
		s := New(newMemFS(), 0)
		const n = 100
		for i := range n {
			for _, w := range []struct{ key, value []byte }{{nil, nil}, {nil, value}, {[]byte{byte(n - i)}, []byte("other")}} {
				if err := s.Add(w.key, w.value); err != nil {
					t.Fatal(err)
				}
			}
		}
		keys, values := collect(t, s)
		if got, ok := values[""]; !ok || got != string(value) || len(keys) != n+1 {
			t.Errorf("%d keys, the empty one has %q, %t, want %d with %q", len(keys), got, ok, n+1, value)
		}
		s.Close()
	}
}

func TestSorterMergesInLevels(t *testing.T) {
	t.Parallel()
	fs := newMemFS()
	s := tiny(fs, 60)
	for i := range 3 * fanIn * fanIn {
		if err := s.Add(fmt.Appendf(nil, "key %d", i%5000), fmt.Append(nil, i)); err != nil {
			t.Fatal(err)
		}
		fs.mu.Lock()
		n := len(fs.files)
		fs.mu.Unlock()
		if n > 3*fanIn {
			t.Fatalf("%d files after %d entries", n, i)
		}
	}
	keys, values := collect(t, s)
	if n := 3 * fanIn * fanIn; len(keys) != 5000 || values[fmt.Sprint("key ", (n-1)%5000)] != fmt.Sprint(n-1) || values["key 0"] != fmt.Sprint((n-1)/5000*5000) {
		t.Errorf("%d keys; the first is %q, the last %q", len(keys), values["key 0"], values["key 4999"])
	}
	s.Close()
}

func TestSorterReportsErrors(t *testing.T) {
	t.Parallel()
	broken := errors.New("broken")
	for after := range 3 {
		fs := newMemFS()
		fs.fail, fs.after = broken, after
		s := tiny(fs, 200<<10)
		var err error
		for i := 0; i < 1000 && err == nil; i++ {
			err = s.Add(fmt.Appendf(nil, "%d", i), make([]byte, 1000))
		}
		if err == nil {
			err = s.Each(func(_, _ []byte) error { return nil })
		}
		if !errors.Is(err, broken) {
			t.Errorf("write %d fails: %v", after, err)
		}
		s.Close()
		if err := s.Add(nil, nil); err == nil {
			t.Error("a closed sorter takes writes")
		}
	}
	s := New(newMemFS(), 0)
	if err := errors.Join(s.Add([]byte("a"), []byte("b")), s.Each(func(_, _ []byte) error { return broken })); !errors.Is(err, broken) {
		t.Errorf("Each gives %v", err)
	}
}

// TestFrameDamage changes one bit of a run, or cuts its end off.
func TestFrameDamage(t *testing.T) {
	t.Parallel()
	fs := newMemFS()
	s := New(fs, 0)
	r := newRun(1 << 20)
	for i := range 300 {
		r.add(fmt.Appendf(nil, "key %d", i), []byte("value"))
	}
	r.sort()
	if err := s.write("run", r.source()); err != nil {
		t.Fatal(err)
	}
	whole := fs.files["run"].Bytes()
	read := func(b []byte) (int, error) {
		fr := frameReader{r: io.NopCloser(bytes.NewReader(b))}
		for n := 0; ; n++ {
			if _, ok, err := fr.next(); !ok {
				return n, err
			}
		}
	}
	if n, err := read(whole); n != 300 || err != nil {
		t.Fatalf("%d entries, %v", n, err)
	}
	for i := 0; i < len(whole); i += 7 {
		damaged := bytes.Clone(whole)
		damaged[i] ^= 4
		if n, err := read(damaged); err == nil || n != 0 || i >= 8 && !errors.Is(err, store.ErrCorrupt) {
			t.Errorf("byte %d damaged: %d entries, %v", i, n, err)
		}
	}
	for i := 1; i < len(whole); i += 100 {
		if n, err := read(whole[:i]); err == nil || n != 0 {
			t.Errorf("cut to %d bytes: %d entries, %v", i, n, err)
		}
	}
}

func FuzzFrame(f *testing.F) {
	f.Add([]byte{0, 0, 0, 3, 1, 2, 3, 4, 1, 1, 'a'})
	f.Fuzz(func(_ *testing.T, b []byte) {
		fr := frameReader{rest: b, r: io.NopCloser(bytes.NewReader(nil))}
		for {
			if _, ok, err := fr.next(); !ok || err != nil {
				return
			}
		}
	})
}

func BenchmarkSorter(b *testing.B) {
	s := New(newMemFS(), 32<<20)
	value := make([]byte, 100)
	var key [16]byte
	for i := range b.N {
		k := uint64(i) * 0x9e3779b97f4a7c15
		for j := range 8 {
			key[j] = byte(k >> (8 * j))
		}
		if err := s.Add(key[:], value); err != nil {
			b.Fatal(err)
		}
	}
	n := 0
	if err := s.Each(func(_, _ []byte) error { n++; return nil }); err != nil || n != b.N {
		b.Fatal(n, err)
	}
	s.Close()
}
