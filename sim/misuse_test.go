package sim

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/weirstream/weir"
)

// failure runs f and returns with what it failed its test.
func failure(f func(t T)) (why string) {
	defer func() {
		if v, ok := recover().(string); ok {
			why = v
		}
	}()
	f(panicking{})
	return ""
}

// What cannot come to an end says what it waits for.
func TestFailuresSayWhy(t *testing.T) {
	t.Parallel()
	stopping := func(t T) *App {
		b := newBench()
		weir.Each(b.in.Stream(), "never", func(weir.Context, int64) error { return errors.New("broken") }, weir.OnError(weir.Stop()))
		s := New(t, b.app)
		b.send(s, 0, 1)
		return s
	}
	for _, tt := range []struct {
		name string
		do   func(t T)
		want []string
	}{
		{"a task that stopped", func(t T) { stopping(t).Settle() }, []string{"in/0", "never", "broken"}},
		{"nobody to do the work", func(t T) {
			b := newBench()
			b.counting()
			s := New(t, b.app)
			s.Crash(0)
			b.send(s, 0, 1)
			s.Settle()
		}, []string{"worker w00 is down", "committed 0 of 1"}},
		{"an application that feeds itself", func(t T) {
			b := newBench()
			weir.Forward(b.in.Stream(), "again", b.in)
			s := New(t, b.app, MaxSteps(10_000))
			b.send(s, 0, 1)
			s.Settle()
		}, []string{"in/0"}},
		{"a worker that is not there", func(t T) { stopping(t).Crash(7) }, []string{"no worker 7"}},
		{"a restart of what runs", func(t T) { stopping(t).Restart(0, KeepDisk) }, []string{"it runs"}},
		{"a topic that is not there", func(t T) { stopping(t).ReadBytes("nothing") }, []string{`"nothing"`, "in"}},
		{"a mistake of the application", func(t T) { New(t, weir.NewApp("empty")) }, []string{"empty"}},
		{"a disk that differs", func(t T) {
			b := newBench()
			b.counting()
			s := New(t, b.app)
			b.send(s, 0, 1)
			s.Settle()
			s.workers[0].disk.spaces[s.workers[0].disk.order[0]].data["k0"] = []byte("other")
			Table(s, b.counts)
		}, []string{"w00", "counts/0", "other"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			why := failure(tt.do)
			for _, want := range tt.want {
				if !strings.Contains(why, want) {
					t.Errorf("it failed with %q, which does not say %q", why, want)
				}
			}
		})
	}
}

// A stopped task keeps its record, and others go on.
func TestStoppedTaskKeepsItsRecord(t *testing.T) {
	t.Parallel()
	app := weir.NewApp("stop")
	in := weir.NewTopic[string, int64](app, "in", weir.Partitions(2))
	var handled []int64
	broken := true
	weir.Each(in.Stream(), "pick", func(_ weir.Context, v int64) error {
		if v == 1 && broken {
			return errors.New("broken")
		}
		handled = append(handled, v)
		return nil
	}, weir.OnError(weir.Stop()))
	s := New(t, app)
	Send(s, in, "a", 0, To(0))
	Send(s, in, "a", 1, To(0))
	Send(s, in, "b", 2, To(1))
	s.Advance(time.Second)
	if got := s.Stopped(); len(got) != 1 {
		t.Fatalf("stopped are %v, want one task", got)
	}
	if got := s.Committed("in", 0); got != 1 {
		t.Errorf("committed offset is %d, want 1", got)
	}
	broken = false
	s.Crash(0)
	s.Restart(0, KeepDisk)
	s.Settle()
	if len(handled) != 3 || len(s.Stopped()) != 0 {
		t.Errorf("handled %v, stopped %v", handled, s.Stopped())
	}
}
