package runtime_test

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/weirstream/weir"
	"github.com/weirstream/weir/core/record"
	"github.com/weirstream/weir/core/store"
	"github.com/weirstream/weir/runtime"
	"github.com/weirstream/weir/stores/memory"
	transport "github.com/weirstream/weir/transports/memory"
)

// A bench is one broker in memory, for workers in virtual time.
type bench struct {
	t      *testing.T
	broker *transport.Broker
}

func newBench(t *testing.T) *bench {
	t.Helper()
	b := &bench{t, transport.NewBroker()}
	if err := b.broker.CreateTopic("words", runtime.TopicSpec{Partitions: partitions, Replicas: 1}); err != nil {
		t.Fatal(err)
	}
	return b
}

// start runs a worker of an application that calls handle for each word.
func (b *bench) start(instance string, st store.Store, handle func(weir.Context) error) (stop context.CancelFunc, ended <-chan error) {
	b.t.Helper()
	app := weir.NewApp("app")
	counts := weir.NewTable[string, int64](app, "counts")
	weir.EachEvent(weir.NewTopic[string, int64](app, "words").Stream(), "count", func(ctx weir.Context, ev weir.Event[string, int64]) error {
		if err := handle(ctx); err != nil {
			return err
		}
		return counts.Update(ctx, ev.Key, func(n int64) int64 { return n + 1 })
	}, weir.Uses(counts))
	top, err := app.Build()
	if err != nil {
		b.t.Fatal(err)
	}
	tr, err := transport.New(transport.Config{Broker: b.broker})
	if err != nil {
		b.t.Fatal(err)
	}
	w, err := runtime.New(runtime.Config{
		Topology: top, Transport: tr, Store: st, Instance: instance, Lanes: 1, Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		b.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(b.t.Context())
	c := make(chan error, 1)
	go func() {
		err := w.Run(ctx)
		_ = tr.Close()
		c <- err
	}()
	return cancel, c
}

// send appends one record to each partition.
func (b *bench) send() {
	b.t.Helper()
	for p := range int32(partitions) {
		r := record.Record{Key: fmt.Appendf(nil, "key-%d", p), Value: encoded(1)}
		if _, err := b.broker.Append(record.TopicPartition{Topic: "words", Partition: p}, []record.Record{r}); err != nil {
			b.t.Fatal(err)
		}
	}
}

// committed is how many records of a partition were handled.
func (b *bench) committed(p int32) int64 {
	tp := record.TopicPartition{Topic: "words", Partition: p}
	got, _ := b.broker.Committed("app", tp)
	return got[tp].At
}

// within waits in virtual time.
func within(t *testing.T, d time.Duration, ended <-chan error) error {
	t.Helper()
	select {
	case err := <-ended:
		return err
	case <-time.After(d):
		t.Fatalf("the worker still runs %s after it was told to stop", d)
		return nil
	}
}

// flood sends until the lane, which is in the middle of user code, can be
// handed nothing more.
func (b *bench) flood() {
	for range 100 {
		b.send()
		synctest.Wait()
	}
}

// An agent that waits for its context holds up a stop for as long as the stop
// may take, and not for ever, however much waits behind it.
func TestStopEndsAnAgentThatHeedsItsContext(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		stop, ended := b.start("a", memory.New(), func(ctx weir.Context) error {
			<-ctx.Done()
			return ctx.Err()
		})
		b.flood()
		stop()
		if err := within(t, time.Minute, ended); err != nil {
			t.Errorf("the worker ended with %v", err)
		}
	})
}

// An agent that heeds nothing cannot be ended; the worker says so and returns.
func TestStopGivesUpAnAgentThatHeedsNothing(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		release := make(chan struct{})
		stop, ended := b.start("a", memory.New(), func(weir.Context) error { <-release; return nil })
		b.flood()
		stop()
		if err := within(t, 2*time.Minute, ended); err == nil || !strings.Contains(err.Error(), "did not return") {
			t.Errorf("the worker ended with %v", err)
		}
		close(release)
	})
}

// slowRelease is a store at the other end of a network: it takes long to give
// spaces up.
type slowRelease struct {
	store.Store

	once    sync.Once
	begun   chan struct{}
	release chan struct{}
}

func (s *slowRelease) Release(sp store.Space, gen store.Generation) error {
	s.once.Do(func() { close(s.begun) })
	<-s.release
	return s.Store.Release(sp, gen)
}

// While spaces of tasks that move are released, the other tasks go on.
func TestTasksGoOnWhileSpacesAreReleased(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		st := &slowRelease{Store: memory.New(), begun: make(chan struct{}), release: make(chan struct{})}
		fine := func(weir.Context) error { return nil }
		stopA, endedA := b.start("a", st, fine)
		b.send()
		synctest.Wait()
		stopB, endedB := b.start("b", memory.New(), fine)
		<-st.begun
		b.send()
		time.Sleep(time.Second) //nolint:forbidigo // of virtual time
		going := 0
		for p := range int32(partitions) {
			if b.committed(p) == 2 {
				going++
			}
		}
		if going == 0 {
			t.Error("no task went on while spaces were released")
		}
		close(st.release)
		stopA()
		stopB()
		for _, ended := range []<-chan error{endedA, endedB} {
			if err := within(t, time.Minute, ended); err != nil {
				t.Errorf("a worker ended with %v", err)
			}
		}
	})
}
