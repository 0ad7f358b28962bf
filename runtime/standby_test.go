package runtime_test

import (
	"errors"
	"maps"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/weirstream/weir/core/record"
	"github.com/weirstream/weir/core/standby"
	"github.com/weirstream/weir/core/store"
	"github.com/weirstream/weir/runtime"
	"github.com/weirstream/weir/stores/memory"
)

// spacesPerSet is how many spaces the tables of words have together.
const spacesPerSet = 2 * partitions

// restores are what OnRestore said.
type restores struct {
	mu   sync.Mutex
	done []runtime.RestoreProgress
}

func (r *restores) hear(p runtime.RestoreProgress) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if p.Done {
		r.done = append(r.done, p)
	}
}

func (c *cluster) startStandby(instance string, st store.Store, n int) (*member, *restores) {
	c.t.Helper()
	r := &restores{}
	return c.startWith(words("words-app"), instance, st, func(cfg *runtime.Config) {
		cfg.Standbys, cfg.OnRestore = n, r.hear
	}), r
}

// ends are the ends of the changelogs.
func (c *cluster) ends() map[record.TopicPartition]int64 {
	c.t.Helper()
	ends := make(map[record.TopicPartition]int64)
	for _, name := range []string{"sums", "remainders"} {
		topic := "words-app-" + name + "-changelog"
		listed, err := c.admin.ListEndOffsets(c.t.Context(), topic)
		if err != nil {
			c.t.Fatal(err)
		}
		for p := range int32(partitions) {
			o, _ := listed.Lookup(topic, p)
			ends[record.TopicPartition{Topic: topic, Partition: p}] = o.Offset
		}
	}
	return ends
}

// follow waits until members run all tasks and keep a standby, read to the end,
// of each.
func (c *cluster) follow(ms ...*member) {
	c.t.Helper()
	ends := c.ends()
	waitUntil(c.t, func() bool {
		runs, follows := 0, 0
		for _, m := range ms {
			st := m.w.Status(c.t.Context())
			for _, in := range st.Tasks {
				if in.State.String() == "running" {
					runs++
				}
			}
			for _, in := range st.Standbys {
				if !in.CaughtUp || in.State != standby.Following {
					continue
				}
				for tp, at := range in.Next {
					if at == ends[tp] {
						follows++
					}
				}
			}
		}
		return runs == spacesPerSet && follows == spacesPerSet
	})
}

// agree fails unless every space of a store is the fold of its changelog at
// its position. It opens the spaces, so their worker must be gone.
func (c *cluster) agree(st store.Store) {
	c.t.Helper()
	for _, name := range []string{"sums", "remainders"} {
		log := c.read("words-app-" + name + "-changelog")
		for p := range int32(partitions) {
			sp := store.Space{Table: name, Partition: p}
			r, pos, err := st.Open(sp, store.Generation(time.Now().Add(time.Hour).UnixMilli()))
			if err != nil {
				c.t.Fatal(err)
			}
			want, got := make(map[string]string), make(map[string]string)
			for _, rec := range log {
				if rec.Partition == p && rec.Offset < pos.Changelog {
					want[string(rec.Key)] = string(rec.Value)
				}
			}
			for e, err := range r.Scan(nil, nil) {
				if err != nil {
					c.t.Fatal(err)
				}
				got[string(e.Key)] = string(e.Value)
			}
			if !maps.Equal(want, got) {
				c.t.Errorf("%s is not what its changelog says at %d: %v, want %v", sp, pos.Changelog, got, want)
			}
		}
	}
}

// Two workers keep standbys of each other's tasks. One is cut off: the other
// takes its tasks over without reading anything again, and is in turn followed
// by the one that comes back.
func TestStandbysTakeOver(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	c.send(3000)
	stores := []store.Store{memory.New(), memory.New()}
	a, _ := c.startStandby("a", stores[0], 1)
	b, restored := c.startStandby("b", stores[1], 1)
	c.settle()
	c.follow(a, b)
	c.send(2000)
	c.settle()
	c.follow(a, b)

	restored.mu.Lock()
	restored.done = nil
	restored.mu.Unlock()
	a.net.sever()
	a.stop()
	c.send(2000)
	c.settle()
	restored.mu.Lock()
	if len(restored.done) != spacesPerSet/2 {
		t.Errorf("%d spaces were taken over, want %d", len(restored.done), spacesPerSet/2)
	}
	for _, p := range restored.done {
		if p.Reason != "" || p.From == 0 || p.Records != 0 {
			t.Errorf("%s was read from %d, %d records (%s), want none: its standby was at the end", p.Space, p.From, p.Records, p.Reason)
		}
	}
	restored.mu.Unlock()
	<-a.ended
	a.ended <- nil

	a, _ = c.startStandby("a", stores[0], 1)
	c.send(1000)
	c.settle()
	c.follow(a, b)
	c.leave(b)
	c.send(1000)
	c.settle()
	c.leave(a)
	c.verify(true)
	for _, st := range stores {
		c.agree(st)
	}
}

// A standby whose store takes no batch for a while goes on where it was.
func TestStandbyGoesOnAfterAFailure(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	c.send(1000)
	st := &failing{Store: memory.New()}
	a, _ := c.startStandby("a", memory.New(), 1)
	b, _ := c.startStandby("b", st, 1)
	c.settle()
	c.follow(a, b)
	st.mu.Lock()
	st.fail, st.spaces = 3, make(map[store.Space]bool)
	for _, in := range b.w.Status(t.Context()).Standbys {
		for tp := range in.Next {
			name := strings.TrimSuffix(strings.TrimPrefix(tp.Topic, "words-app-"), "-changelog")
			st.spaces[store.Space{Table: name, Partition: tp.Partition}] = true
		}
	}
	st.mu.Unlock()
	c.send(1000)
	c.settle()
	c.follow(a, b)
	if left := st.failures(); left != 0 {
		t.Errorf("%d failures did not come about", left)
	}
	c.leave(a)
	c.leave(b)
	c.verify(true)
	c.agree(st)
}

// failing is a store that refuses so many batches with one of the spaces.
type failing struct {
	store.Store
	mu     sync.Mutex
	spaces map[store.Space]bool
	fail   int
}

func (f *failing) failures() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.fail
}

func (f *failing) Apply(b *store.Batch) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, p := range b.Parts() {
		if f.fail > 0 && f.spaces[p.Space] {
			f.fail--
			return errors.New("disk full")
		}
	}
	return f.Store.Apply(b)
}

// Without standbys nobody follows anything.
func TestNoStandbys(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	c.send(100)
	a, _ := c.startStandby("a", memory.New(), 0)
	b, _ := c.startStandby("b", memory.New(), 0)
	c.settle()
	for _, m := range []*member{a, b} {
		if st := m.w.Status(t.Context()); len(st.Standbys) != 0 {
			t.Errorf("standbys %v, want none", st.Standbys)
		}
		c.leave(m)
	}
}

// shared is a store that all workers share.
type shared struct{ store.Store }

func (shared) Shared() bool { return true }

func TestStandbysWithASharedStore(t *testing.T) {
	t.Parallel()
	top, err := words("words-app").Build()
	if err != nil {
		t.Fatal(err)
	}
	_, err = runtime.New(runtime.Config{Topology: top, Store: shared{memory.New()}, Instance: "a", Standbys: 1})
	if err == nil || !strings.Contains(err.Error(), "Standbys must be 0 with a store that all workers share") {
		t.Errorf("a shared store with standbys gives %v", err)
	}
}
