package runtime_test

import (
	"fmt"
	"iter"
	"sync"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/weirstream/weir"
	"github.com/weirstream/weir/core/store"
	"github.com/weirstream/weir/runtime"
	"github.com/weirstream/weir/stores/memory"
)

// rotten is a store whose data of one table is damaged until it is dropped.
type rotten struct {
	store.Store

	table string
	mu    sync.Mutex
	drops int
}

func (s *rotten) Open(sp store.Space, gen store.Generation) (store.Reader, store.Position, error) {
	r, pos, err := s.Store.Open(sp, gen)
	if err == nil && sp.Table == s.table {
		r = &rottenReader{r, s}
	}
	return r, pos, err
}

func (s *rotten) Drop(sp store.Space, gen store.Generation) error {
	if sp.Table == s.table {
		s.mu.Lock()
		s.drops++
		s.mu.Unlock()
	}
	return s.Store.Drop(sp, gen)
}

// dropped is how often the table was emptied.
func (s *rotten) dropped() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.drops
}

func (s *rotten) damage() error {
	if s.dropped() == 0 {
		return fmt.Errorf("%w: a block of %s fails its checksum", store.ErrCorrupt, s.table)
	}
	return nil
}

type rottenReader struct {
	store.Reader

	s *rotten
}

func (r *rottenReader) Get(key, dst []byte) ([]byte, bool, error) {
	if err := r.s.damage(); err != nil {
		return dst, false, err
	}
	return r.Reader.Get(key, dst)
}

func (r *rottenReader) Scan(from, to []byte) iter.Seq2[store.Entry, error] {
	if err := r.s.damage(); err != nil {
		return func(yield func(store.Entry, error) bool) { yield(store.Entry{}, err) }
	}
	return r.Reader.Scan(from, to)
}

// named passes each word on with the number that a global table has for it.
func named() *weir.App {
	app := weir.NewApp("words-app")
	in := weir.NewTopic[string, int64](app, "words")
	out := weir.NewTopic[string, int64](app, "counted")
	names := weir.NewGlobalTable(app, weir.NewTopic[string, int64](app, "names"))
	s := weir.JoinGlobal(in.Stream(), "name", names, func(v int64) string { return fmt.Sprint(v % 3) },
		func(v, n int64, found bool) (int64, bool) { return n, found })
	weir.Forward(s, "named", out)
	return app
}

// A global table whose data turns out to be damaged is never served: it is
// rebuilt from its topic, and every record meets the whole of it.
func TestDamagedGlobalTableIsRebuilt(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	if r, err := c.admin.CreateTopic(t.Context(), 1, 1, nil, "names"); err != nil || r.Err != nil {
		t.Fatal(err, r.Err)
	}
	for i, n := range []string{"0", "1", "2"} {
		if err := c.client.ProduceSync(t.Context(), &kgo.Record{Topic: "names", Key: []byte(n), Value: encoded(int64(100 + i))}).FirstErr(); err != nil {
			t.Fatal(err)
		}
	}
	st := &rotten{Store: memory.New(), table: "names"}
	c.startApp(named(), "a", st, runtime.ExactlyOnce)
	c.send(300)
	got := make(map[int64]int)
	waitUntil(t, func() bool {
		clear(got)
		total := 0
		for _, r := range c.read("counted") {
			got[number(r.Value)]++
			total++
		}
		return total >= 300
	})
	if want := map[int64]int{100: 100, 101: 100, 102: 100}; fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("records met %v, want %v", got, want)
	}
	if n := st.dropped(); n != 1 {
		t.Errorf("the table was emptied %d times, want once", n)
	}
}
