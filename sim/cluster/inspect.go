package cluster

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	goruntime "runtime"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/weirstream/weir/core/store"
	"github.com/weirstream/weir/sim/simdisk"
)

// An inspector says at which events to look at a run: numbers as the trace
// has them, 0 for never. Looking changes nothing of what happens.
type inspector struct{ logFrom, stacks, state, until int64 }

func newInspector(t testing.TB) *inspector {
	number := func(name string) int64 {
		v := os.Getenv(name)
		if v == "" {
			return 0
		}
		n, err := strconv.ParseInt(v, 10, 64)
		if err != nil || n < 1 {
			t.Fatalf("%s=%q: want the number of an event, from 1", name, v)
		}
		return n
	}
	return &inspector{number("WEIR_SIM_LOG_FROM"), number("WEIR_SIM_STACKS"), number("WEIR_SIM_STATE"), number("WEIR_SIM_UNTIL")}
}

// look is called after each event, with locks of the world or the network
// held: it takes none of them, and neither waits nor reads what others guard.
func (w *world) look(n int64) {
	if n == w.inspect.stacks {
		buf := make([]byte, 8<<20)
		fmt.Fprintf(os.Stderr, "all goroutines at event %d, %s:\n%s\n", n, time.Since(w.start), buf[:goruntime.Stack(buf, true)])
	}
	if n == w.inspect.state {
		fmt.Fprintf(os.Stderr, "state at event %d, %s:\n%s", n, time.Since(w.start), w.h.State())
	}
	if n == w.inspect.until {
		w.trace.close()
		go w.halt(n)
	}
}

// ExitUntil is the exit code of a run that ended at the event that
// WEIR_SIM_UNTIL named. It is not 0, which the testing package forbids.
const ExitUntil = 77

// halt ends the run at an event, with all that can be seen there.
func (w *world) halt(n int64) {
	fmt.Fprintf(os.Stderr, "ended at event %d, %s:\n%s", n, time.Since(w.start), w.h.State())
	w.tasks()
	for _, n := range w.nodes {
		if err := n.print(); err != nil {
			fmt.Fprintf(os.Stderr, "%s: %v\n", n.name, err)
		}
	}
	res := &Result{Seed: w.cfg.Seed, Plan: w.plan, Virtual: time.Since(w.start), Lines: n, Test: w.t.Name(), History: w.h}
	res.leave()
	os.Exit(ExitUntil)
}

// tasks prints what the workers say of their tasks.
func (w *world) tasks() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	for _, n := range w.nodes {
		w.mu.Lock()
		p := n.cur
		w.mu.Unlock()
		if p == nil || p.worker == nil {
			continue
		}
		for _, t := range p.worker.Status(ctx).Tasks {
			fmt.Fprintf(os.Stderr, "%s task %s is %s, next %v, stream time %d, %v\n", p.host, t.Task, t.State, t.Next, t.StreamTime, errors.Join(t.Stopped, t.Err))
		}
	}
}

// print prints what the tables on a disk hold.
func (n *node) print() error {
	n.disk.SetGate(nil)
	n.disk.Crash() // the store that has it open is out of the way
	s, err := simdisk.Open(n.disk)
	if err != nil {
		return err
	}
	for _, sub := range n.w.top.Subs {
		for _, name := range sub.Stores() {
			for p := range n.w.cfg.Partitions {
				r, pos, err := s.Open(store.Space{Table: name, Partition: p}, store.Generation(time.Now().UnixMilli()))
				if errors.Is(err, store.ErrCorrupt) {
					fmt.Fprintf(os.Stderr, "%s %s/%d is damaged\n", n.name, name, p)
					continue
				}
				if err != nil {
					return err
				}
				if !pos.Exists {
					continue
				}
				fmt.Fprintf(os.Stderr, "%s %s/%d at %d, stream time %d\n", n.name, name, p, pos.Changelog, pos.StreamTime)
				for e, err := range r.Scan(nil, nil) {
					if err != nil {
						return err
					}
					fmt.Fprintf(os.Stderr, "  %q = %q\n", e.Key, e.Value)
				}
			}
		}
	}
	return s.Close()
}

// without are the invariants that are not to be checked.
func without() []string {
	if v := os.Getenv("WEIR_SIM_WITHOUT"); v != "" {
		return strings.Split(v, ",")
	}
	return nil
}

// leave leaves the result for the host, as one line for each run of a program,
// and the history where it was asked for. The first run that broke something
// is the one whose history stays.
func (r *Result) leave() {
	if os.Getenv("WEIR_SIM") != "" {
		if b, err := json.Marshal(r); err == nil {
			appendTo("/sim/report", append(b, '\n'))
		}
	}
	name := os.Getenv("WEIR_SIM_HISTORY")
	if name == "" || kept.Load() {
		return
	}
	kept.Store(len(r.Violations) > 0)
	if f, err := os.Create(name); err == nil {
		_ = r.History.Write(f)
		_ = f.Close()
	}
}

// kept says that the history of a run that broke something was written.
var kept atomic.Bool

func appendTo(name string, b []byte) {
	f, err := os.OpenFile(name, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		return
	}
	_, _ = f.Write(b)
	_ = f.Close()
}
