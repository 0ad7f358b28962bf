package simdisk

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/weirstream/weir/core/store"
)

var space = store.Space{Table: "t", Partition: 3}

func open(t *testing.T, d *Disk) *Store {
	t.Helper()
	s, err := Open(d)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// put applies one batch: key i gets value i, the position is i.
func put(s *Store, gen store.Generation, i int) error {
	var b store.Batch
	p := b.Part(space, gen)
	p.Put([]byte(fmt.Sprintf("k%04d", i)), bytes.Repeat([]byte{byte(i)}, 50))
	p.Position = store.Position{Changelog: int64(i), Exists: true}
	return s.Apply(&b)
}

// check opens the space and checks that it holds exactly the keys up to its
// position, which it returns.
func check(t *testing.T, s *Store, gen store.Generation) int64 {
	t.Helper()
	r, pos, err := s.Open(space, gen)
	if err != nil {
		t.Fatal(err)
	}
	n := int64(0)
	for e, err := range r.Scan(nil, nil) {
		if err != nil {
			t.Fatal(err)
		}
		n++
		if want := fmt.Sprintf("k%04d", n); string(e.Key) != want || e.Value[0] != byte(n) {
			t.Fatalf("entry %q, want %q", e.Key, want)
		}
	}
	if n != pos.Changelog {
		t.Fatalf("%d entries at position %d", n, pos.Changelog)
	}
	return n
}

func fill(t *testing.T, s *Store, from, to int) {
	t.Helper()
	for i := from; i <= to; i++ {
		if err := put(s, 1, i); err != nil {
			t.Fatal(err)
		}
	}
}

func TestCrashKeepsWhatWasWritten(t *testing.T) {
	t.Parallel()
	d := New(1)
	s := open(t, d)
	check(t, s, 1)
	fill(t, s, 1, 100)
	if _, err := Open(d); !errors.Is(err, store.ErrLocked) {
		t.Errorf("a second process opened the store: %v", err)
	}
	d.Crash()
	if err := put(s, 1, 101); !errors.Is(err, ErrCrashed) {
		t.Errorf("a dead process wrote: %v", err)
	}
	if n := check(t, open(t, d), 1); n != 100 {
		t.Errorf("%d entries after a crash, want 100", n)
	}
}

func TestPowerLossLeavesAPrefix(t *testing.T) {
	t.Parallel()
	torn := 0
	for seed := range uint64(60) {
		d := New(seed)
		s := open(t, d)
		check(t, s, 1)
		fill(t, s, 1, 20)
		if err := s.Flush(); err != nil {
			t.Fatal(err)
		}
		fill(t, s, 21, 60)
		d.PowerLoss()
		s = open(t, d)
		n := check(t, s, 1)
		if n < 20 {
			t.Errorf("seed %d: %d entries, but 20 were flushed", seed, n)
		}
		if n < 60 {
			torn++
		}
	}
	if torn == 0 {
		t.Error("no log was torn")
	}
}

func TestBitFlipsAreFoundOrHarmless(t *testing.T) {
	t.Parallel()
	found := 0
	for seed := range uint64(60) {
		d := New(seed)
		s := open(t, d)
		check(t, s, 1)
		fill(t, s, 1, 30)
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		if !d.FlipBit() {
			t.Fatal("nothing to flip")
		}
		s = open(t, d)
		_, _, err := s.Open(space, 1)
		if err == nil {
			check(t, s, 2) // the last record was hit: one batch less
			continue
		}
		if !errors.Is(err, store.ErrCorrupt) {
			t.Fatal(err)
		}
		found++
		// It stays corrupt over a restart, until it is dropped.
		d.Crash()
		s = open(t, d)
		if _, _, err := s.Open(space, 1); !errors.Is(err, store.ErrCorrupt) {
			t.Fatalf("seed %d: after a restart: %v", seed, err)
		}
		if err := s.Drop(space, 1); err != nil {
			t.Fatal(err)
		}
		fill(t, s, 1, 5)
		d.Crash()
		if n := check(t, open(t, d), 1); n != 5 {
			t.Errorf("%d entries after a rebuild, want 5", n)
		}
	}
	if found == 0 {
		t.Error("no flip was found")
	}
}

func TestFullDiskChangesNothing(t *testing.T) {
	t.Parallel()
	d := New(1)
	s := open(t, d)
	check(t, s, 1)
	fill(t, s, 1, 10)
	d.SetFree(40)
	if err := put(s, 1, 11); !errors.Is(err, ErrFull) {
		t.Fatalf("writing to a full disk: %v", err)
	}
	if n := check(t, s, 1); n != 10 {
		t.Errorf("%d entries, want 10", n)
	}
	d.SetFree(-1)
	fill(t, s, 11, 20)
	d.Crash()
	if n := check(t, open(t, d), 1); n != 20 {
		t.Errorf("%d entries after a restart, want 20", n)
	}
}

func TestFailedSyncStopsWriting(t *testing.T) {
	t.Parallel()
	d := New(1)
	s := open(t, d)
	check(t, s, 1)
	fill(t, s, 1, 3)
	d.FailSyncs(1)
	if err := s.Flush(); !errors.Is(err, ErrIO) {
		t.Fatalf("flush: %v", err)
	}
	if err := put(s, 1, 4); !errors.Is(err, ErrIO) {
		t.Errorf("writing after a failed sync: %v", err)
	}
	if err := s.Flush(); !errors.Is(err, ErrIO) {
		t.Errorf("a second flush must not pretend: %v", err)
	}
}

func TestLogIsWrittenAnew(t *testing.T) {
	t.Parallel()
	d := New(1)
	s := open(t, d)
	s.rewrite = 4000
	check(t, s, 1)
	rng := rand.New(rand.NewPCG(1, 2))
	want := make(map[string]string)
	for i := range 2000 {
		var b store.Batch
		p := b.Part(space, 1)
		k := fmt.Sprint(rng.IntN(20))
		if v := fmt.Sprint(i); i%7 == 0 {
			p.Delete([]byte(k))
			delete(want, k)
		} else {
			p.Put([]byte(k), []byte(v))
			want[k] = v
		}
		p.Position = store.Position{Changelog: int64(i), Exists: true}
		if err := s.Apply(&b); err != nil {
			t.Fatal(err)
		}
		s.rewrite = min(s.rewrite, 8000)
	}
	if s.size > 10000 {
		t.Errorf("the log has %d bytes for 20 keys", s.size)
	}
	d.Crash()
	r, pos, err := open(t, d).Open(space, 1)
	if err != nil || pos.Changelog != 1999 {
		t.Fatalf("position %d, %v", pos.Changelog, err)
	}
	for e, err := range r.Scan(nil, nil) {
		if err != nil || want[string(e.Key)] != string(e.Value) {
			t.Errorf("%q is %q, want %q, %v", e.Key, e.Value, want[string(e.Key)], err)
		}
		delete(want, string(e.Key))
	}
	if len(want) > 0 {
		t.Errorf("missing: %v", want)
	}
}

func FuzzLog(f *testing.F) {
	f.Add(appendFrame(nil, appendPart(nil, space, true, store.Position{Changelog: 7, Exists: true}, []store.Op{{Key: []byte("k"), Value: []byte("v")}, {Key: []byte("d")}}), 0))
	f.Fuzz(func(t *testing.T, b []byte) {
		payloads, end, _ := split(b)
		if end > len(b) {
			t.Fatalf("end %d of %d", end, len(b))
		}
		for _, p := range payloads {
			_, _ = decodeParts(p)
		}
		_, _ = decodeParts(b)
	})
}
