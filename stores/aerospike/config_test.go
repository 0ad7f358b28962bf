package aerospike

import (
	"crypto/tls"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/weirstream/weir/core/store"
	"github.com/weirstream/weir/stores/aerospike/asfake"
)

func TestConfigReportsAllMistakes(t *testing.T) {
	t.Parallel()
	_, err := Open(Config{
		Hosts: []string{"here", "there:x"}, Namespace: strings.Repeat("n", 40), Prefix: "a b", Password: "p", TLSName: "n",
		Timeout: -1, Concurrency: -1, RecordBytes: 5, GarbageTTL: time.Millisecond,
	})
	if err == nil {
		t.Fatal("all that is wrong was taken")
	}
	for _, word := range []string{`"here"`, `"there:x"`, "Namespace", "Prefix", "Password", "TLSName", "Timeout", "Concurrency", "RecordBytes", "GarbageTTL"} {
		if !strings.Contains(err.Error(), word) {
			t.Errorf("%s is not mentioned in:\n%v", word, err)
		}
	}
	_, err = Open(Config{})
	for _, word := range []string{"Hosts", "Namespace", "Prefix"} {
		if err == nil || !strings.Contains(err.Error(), word) {
			t.Errorf("%s is not mentioned in %v", word, err)
		}
	}
}

func TestDefaults(t *testing.T) {
	t.Parallel()
	c, err := Config{Hosts: []string{"127.0.0.1:3000"}, Namespace: "test", Prefix: "app"}.withDefaults()
	if err != nil {
		t.Fatal(err)
	}
	if c.Timeout != defaultTimeout || c.Concurrency != defaultConcurrency || c.BatchRecords != defaultBatchRecords ||
		c.RecordBytes != defaultRecordBytes || c.MaxLayers != defaultMaxLayers || c.Logger == nil {
		t.Errorf("defaults are %+v", c)
	}
}

func TestNoServer(t *testing.T) {
	t.Parallel()
	srv := startFake(t, asfake.Options{})
	addr := srv.Addr()
	srv.Close()
	c := config(addr)
	c.Timeout = 200 * time.Millisecond
	if _, err := Open(c); err == nil || !strings.Contains(err.Error(), addr) {
		t.Errorf("opening without a server gives %v", err)
	}
}

func TestUserAndPassword(t *testing.T) {
	t.Parallel()
	srv := startFake(t, asfake.Options{User: "weir", Password: "secret"})
	c := config(srv.Addr())
	c.User, c.Password = "weir", "secret"
	s := openStore(t, c)
	h := someHistory(1)
	rs, _ := h.open(t, s, 1)
	h.run(t, s, 1, 1, 3)
	h.holds(t, rs[0], 3, 0)
	c.Password, c.Timeout = "wrong", time.Second
	if s, err := Open(c); err == nil {
		_ = s.Close()
		t.Error("a wrong password was taken")
	}
	c = config(startFake(t, asfake.Options{}).Addr())
	c.TLS, c.Timeout = &tls.Config{MinVersion: tls.VersionTLS12}, time.Second
	if s, err := Open(c); err == nil {
		_ = s.Close()
		t.Error("a server without TLS was taken for one with it")
	}
}

// TestServerAway stops the server under an open store: calls fail once time is
// up, and go on when it is back.
func TestServerAway(t *testing.T) {
	t.Parallel()
	srv := startFake(t, asfake.Options{})
	c := config(srv.Addr())
	c.RetryFor, c.Timeout = 50*time.Millisecond, 200*time.Millisecond
	s := openStore(t, c)
	h := someHistory(1)
	rs, _ := h.open(t, s, 1)
	h.run(t, s, 1, 1, 3)
	srv.Down(true)
	err := s.Apply(h.batch(4, 1))
	if err == nil || errors.Is(err, store.ErrCorrupt) || errors.Is(err, store.ErrFenced) {
		t.Errorf("a batch without a server gives %v", err)
	}
	if _, _, err := rs[0].Get([]byte("key-1"), nil); h.at(3, 0)["key-1"] != "" && err == nil {
		t.Error("an entry was read without a server")
	}
	srv.Down(false)
	eventually(t, "the store works again", func() bool { return s.Apply(h.batch(4, 1)) == nil })
	for j := range rs {
		h.holds(t, rs[j], 4, j)
	}
}

// TestLostServer empties the server: spaces have no position then, and are
// rebuilt.
func TestLostServer(t *testing.T) {
	t.Parallel()
	srv := startFake(t, asfake.Options{})
	h := someHistory(1)
	s := openStore(t, config(srv.Addr()))
	h.open(t, s, 1)
	h.run(t, s, 1, 1, 10)
	closeStore(t, s)
	srv.Wipe()
	s = openStore(t, config(srv.Addr()))
	rs, ps := h.open(t, s, 2)
	for j := range ps {
		if ps[j].Exists {
			t.Errorf("%s has position %+v on an empty server", h.spaces[j], ps[j])
		}
		h.holds(t, rs[j], 0, j)
	}
	h.run(t, s, 2, 1, 10)
	h.holds(t, rs[1], 10, 1)
}

// TestApplicationsApart shares a namespace between two prefixes.
func TestApplicationsApart(t *testing.T) {
	t.Parallel()
	srv := startFake(t, asfake.Options{})
	one, two := config(srv.Addr()), config(srv.Addr())
	two.Prefix = "other"
	a, b := openStore(t, one), openStore(t, two)
	h, g := someHistory(1), someHistory(2)
	ra, _ := h.open(t, a, 5)
	rb, _ := g.open(t, b, 1)
	h.run(t, a, 5, 1, 5)
	g.run(t, b, 1, 1, 5)
	for j := range ra {
		h.holds(t, ra[j], 5, j)
		g.holds(t, rb[j], 5, j)
	}
}

// TestLongValues are cut into several records, and freed with their entry.
func TestLongValues(t *testing.T) {
	t.Parallel()
	srv := startFake(t, asfake.Options{})
	s := openStore(t, config(srv.Addr()))
	sp := store.Space{Table: "long"}
	r, _, err := s.Open(sp, 1)
	if err != nil {
		t.Fatal(err)
	}
	long := strings.Repeat("0123456789abcdef", 300_000) // 4.8 MB, six records
	for i := range 8 {
		var b store.Batch
		p := b.Part(sp, 1)
		p.Put([]byte("k"), []byte(long[i:]))
		p.Position = store.Position{Changelog: int64(i), Exists: true}
		if err := s.Apply(&b); err != nil {
			t.Fatal(err)
		}
		if v, found, err := r.Get([]byte("k"), nil); err != nil || !found || string(v) != long[i:] {
			t.Fatalf("round %d: %d bytes, %t, %v", i, len(v), found, err)
		}
	}
	if n := srv.Records("app.long"); n > 2*6+2 {
		t.Errorf("%d records for one value of six", n)
	}
	closeStore(t, s)
	s = openStore(t, config(srv.Addr()))
	r, _, err = s.Open(sp, 2)
	if err != nil {
		t.Fatal(err)
	}
	if v, _, err := r.Get([]byte("k"), nil); err != nil || string(v) != long[7:] {
		t.Fatalf("opened again: %d bytes, %v", len(v), err)
	}
	var b store.Batch
	b.Part(sp, 2).Put([]byte(strings.Repeat("k", 1<<20)), nil)
	if err := s.Apply(&b); err == nil || !strings.Contains(err.Error(), "too long") {
		t.Errorf("a key of 1 MiB gives %v", err)
	}
	if v, _, err := r.Get([]byte("k"), nil); err != nil || string(v) != long[7:] {
		t.Fatalf("after a batch that was refused: %d bytes, %v", len(v), err)
	}
}
