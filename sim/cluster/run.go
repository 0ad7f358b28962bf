package cluster

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/weirstream/weir/runtime"
	"github.com/weirstream/weir/sim/check"
	"github.com/weirstream/weir/sim/fault"
)

// A Result is what became of a run.
type Result struct {
	Seed       uint64             `json:"seed"`
	Plan       fault.Plan         `json:"plan"`
	Injected   map[fault.Kind]int `json:"injected"`
	Points     map[string]int     `json:"points"`
	Violations []check.Violation  `json:"violations"`
	Virtual    time.Duration      `json:"virtual"`
	Lines      int64              `json:"lines"`
	// Test is the name of the test, Sent how many records were sent, Records
	// the size of the workload.
	Test    string `json:"test"`
	Sent    int    `json:"sent"`
	Records int    `json:"records"`
	// Kinds are the faults that plans are drawn from, AllPoints the crash
	// points that there are.
	Kinds     []fault.Kind   `json:"kinds"`
	AllPoints []string       `json:"allPoints"`
	History   *check.History `json:"-"`
}

// Run runs the application of cfg through one history, fails t when an
// invariant is broken, and returns what happened.
func Run(t testing.TB, cfg Config) *Result {
	t.Helper()
	if err := cfg.validate(); err != nil {
		t.Fatal(err)
	}
	res := run(t, cfg.withDefaults())
	if len(res.Violations) > 0 {
		t.Error("an invariant is broken")
	}
	return res
}

// run is Run without the verdict.
func run(t testing.TB, cfg Config) *Result {
	t.Helper()
	w := newWorld(t, cfg)
	defer w.trace.flush()
	w.hookCrashes()
	w.plan = cfg.Plan
	if w.plan == nil {
		w.plan = fault.Draw(w.rng, w.space())
	}
	w.plan = keep(t, w.plan)
	w.only = numbers(t, "WEIR_SIM_ONLY")
	w.trace.add("seed %d %s", cfg.Seed, w.knobs)
	for _, f := range w.plan {
		w.trace.add("plan %s", f)
	}
	if err := w.startBrokers(); err != nil {
		t.Fatal(err)
	}
	defer w.fake.Close()
	var err error
	if w.producer, err = w.client("client", kgo.RecordRetries(1000), kgo.ProducerLinger(0)); err != nil {
		t.Fatal(err)
	}
	defer w.producer.Close()
	w.live()
	return w.report(w.verdict())
}

// verdict reads what the logs and the disks hold and checks the history. When
// the logs cannot be read, what all of them lack says nothing: only that is
// reported, and what is wrong with how the application came to rest.
func (w *world) verdict() []check.Violation {
	var vs []check.Violation
	ctx, cancel := context.WithTimeout(context.Background(), w.cfg.Patience)
	defer cancel()
	unread := w.describe(ctx)
	for _, err := range []error{unread, w.dump()} {
		if err != nil {
			vs = append(vs, check.Violation{Invariant: "run", Detail: err.Error()})
		}
	}
	all := check.All(w.h, check.Subject{
		Exactly: w.cfg.Guarantee == runtime.ExactlyOnce, Model: w.cfg.Model, Receipts: w.cfg.Receipts, Dead: w.cfg.Dead, Sources: w.cfg.Sources, Once: w.cfg.Once, Windows: w.cfg.Windows,
		Within: w.cfg.Patience.Milliseconds(), Without: without(),
	})
	if unread != nil {
		all = slices.DeleteFunc(all, func(v check.Violation) bool { return !strings.HasPrefix(v.Invariant, "L") })
	}
	return append(vs, all...)
}

// live is the part of the run in which something happens.
func (w *world) live() {
	w.send(w.cfg.Before)
	for i := range w.cfg.Workers {
		w.nodes = append(w.nodes, w.newNode(i))
	}
	for _, n := range w.nodes {
		n.start()
	}
	begin := time.Now()
	loaded := make(chan struct{})
	go func() {
		defer close(loaded)
		w.load()
	}()
	w.schedule()
	ended := make(chan struct{})
	defer close(ended)
	go w.expel(ended)
	sleep(w.cfg.Duration)
	w.heal()
	<-loaded
	w.trace.add("loaded %s", time.Since(begin))
	w.settle()
	w.end()
}

// settle waits until the application has caught up. Meanwhile it does what an
// operator does: workers with tasks that stopped because of a fault are
// started again.
func (w *world) settle() {
	healed := time.Now()
	var repaired time.Time
	ok := eventually(w.cfg.Patience, func() bool {
		if time.Since(repaired) > 15*time.Second {
			repaired = time.Now()
			for _, n := range w.nodes {
				if stopped := n.stoppedTasks(); len(stopped) > 0 {
					w.h.Add(check.Event{Kind: check.Fault, Note: "operator restarts " + n.name + ": " + strings.Join(stopped, "; ")})
					n.shutdown(stopTimeout + 10*time.Second)
					n.start()
				}
			}
		}
		return w.lag() == 0 && w.stable()
	})
	if ok {
		w.h.Add(check.Event{Kind: check.Caught, Took: time.Since(healed).Milliseconds()})
		w.follow()
		eventually(restPatience, w.globalsRead)
		// There may be nothing left to read for a task that is still being
		// restored, or that is on its way from one worker to another. One
		// that was given up meanwhile never says that its restore ended.
		eventually(restPatience, func() bool { return w.restored() && w.stable() && w.owned() })
	} else {
		w.h.Add(check.Event{Kind: check.Fault, Note: w.stuck()})
	}
	w.group()
}

// stuck describes what is left over.
func (w *world) stuck() string {
	var s []string
	g := w.fake.GroupInfo(w.top.App)
	sources := w.sources()
	for _, name := range sortedKeys(w.top.Topics) {
		for _, p := range w.fake.PartitionInfos(name) {
			var at int64 = -1
			if g != nil && sources[name] {
				if c, ok := g.Commits[name][p.Partition]; ok {
					at = c.Offset
				}
			}
			if sources[name] && max(at, p.LogStartOffset) < p.HighWatermark || p.LastStableOffset < p.HighWatermark {
				s = append(s, fmt.Sprintf("%s/%d start %d committed %d stable %d end %d", name, p.Partition, p.LogStartOffset, at, p.LastStableOffset, p.HighWatermark))
			}
		}
	}
	return "left over: " + strings.Join(s, "; ")
}

// restPatience is how long restores and rebalances may go on when all input is
// handled; what does not come to rest by then is for the checkers.
const restPatience = 30 * time.Second

// owned reports whether as many partitions are assigned as there are.
func (w *world) owned() bool {
	g := w.fake.GroupInfo(w.top.App)
	if g == nil {
		return false
	}
	left := 0
	for name := range w.sources() {
		left += len(w.fake.PartitionInfos(name))
	}
	for _, m := range g.Members {
		for _, parts := range m.Assignment {
			left -= len(parts)
		}
	}
	return left == 0
}

// restored reports whether no present life is restoring anything.
func (w *world) restored() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, n := range w.nodes {
		if n.cur != nil && len(n.cur.restoring) > 0 {
			return false
		}
	}
	return true
}

// stable reports whether the group is at rest with the present life of each
// node in it, and no other. Who is stopping is not at rest: a fault may be about
// to start it again.
func (w *world) stable() bool {
	g := w.fake.GroupInfo(w.top.App)
	if g == nil || g.State != "Stable" || len(g.Members) != len(w.nodes) {
		return false
	}
	in := make(map[string]bool)
	for _, m := range g.Members {
		in[m.ClientID] = true
	}
	for _, n := range w.nodes {
		if p := n.current(); p == nil || p.ctx.Err() != nil || !in[p.host] {
			return false
		}
	}
	return true
}

// end stops all workers at once.
func (w *world) end() {
	done := make(chan struct{}, len(w.nodes))
	for _, n := range w.nodes {
		go func() {
			p := n.current()
			began := time.Now()
			ok := n.shutdown(w.cfg.Patience)
			if p != nil && ok {
				w.h.Add(check.Event{Kind: check.Stopped, Worker: p.host, Took: time.Since(began).Milliseconds()})
			}
			done <- struct{}{}
		}()
	}
	for range w.nodes {
		<-done
	}
	w.drain()
	// What a crashed life left open is aborted by its timeout at the latest.
	eventually(3*txnTimeout, func() bool {
		for _, name := range sortedKeys(w.top.Topics) {
			for _, p := range w.fake.PartitionInfos(name) {
				if p.LastStableOffset != p.HighWatermark {
					return false
				}
			}
		}
		return true
	})
}

// drain waits until the brokers have handled all that workers sent before they
// ended, such as the deletion of records that the checkers are about to read,
// and compact nothing any more.
func (w *world) drain() {
	w.compactions.Wait()
	eventually(w.cfg.Patience, func() bool {
		return !slices.ContainsFunc(w.brokers(), func(b string) bool { return !w.net.Quiet(b) })
	})
	sleep(time.Millisecond) // virtual time goes on once what was read is handled
}

// meanBurst is how many records come at once, on average.
const meanBurst = 20

// load sends the workload, in bursts spread over the time of the faults.
func (w *world) load() {
	if w.cfg.Load == nil {
		return
	}
	shape := rand.New(rand.NewPCG(w.cfg.Seed, 0xb0257))
	rng := rand.New(rand.NewPCG(w.cfg.Seed, 0x10ad))
	// Small workloads are spread over the time as well.
	mean := min(max(w.cfg.Records/15, 1), meanBurst)
	for i := 0; i < w.cfg.Records; {
		n := min(1+shape.IntN(2*mean), w.cfg.Records-i)
		var batch []Input
		for range n {
			in := w.cfg.Load(rng, i) // all of them: each draws from rng
			if w.only == nil || slices.Contains(w.only, i) {
				batch = append(batch, in)
			}
			i++
		}
		w.send(batch)
		sleep(w.cfg.Duration * time.Duration(n) / time.Duration(w.cfg.Records))
	}
}

// send writes inputs until they are all acknowledged. A producer that gave up
// on a record sends it again, which may make it twice: the committed input is
// what counts.
func (w *world) send(inputs []Input) {
	if len(inputs) == 0 {
		return
	}
	for len(inputs) > 0 {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		var rs []*kgo.Record
		for _, in := range inputs {
			rs = append(rs, &kgo.Record{Topic: in.Topic, Key: in.Key, Value: in.Value, Timestamp: time.UnixMilli(in.Time)})
		}
		results := w.producer.ProduceSync(ctx, rs...)
		cancel()
		var again []Input
		for _, r := range results {
			if r.Err != nil {
				again = append(again, Input{r.Record.Topic, r.Record.Key, r.Record.Value, r.Record.Timestamp.UnixMilli()})
				continue
			}
			w.sent++
		}
		inputs = again
	}
}

// report prints what happened, all of it when something went wrong, and
// leaves a summary for the host.
func (w *world) report(vs []check.Violation) *Result {
	w.mu.Lock()
	defer w.mu.Unlock()
	res := &Result{
		Seed: w.cfg.Seed, Plan: w.plan, Injected: w.injected, Points: w.points, Violations: vs,
		Virtual: time.Since(w.start), Lines: w.trace.lines, Sent: w.sent, Records: w.cfg.Records, Test: w.t.Name(), History: w.h,
		Kinds: w.cfg.Faults, AllPoints: append(points(), restorePoints()...),
	}
	res.leave()
	faults := 0
	for _, n := range w.injected {
		faults += n
	}
	fmt.Printf("cluster seed=%d virtual=%s events=%d lines=%d faults=%d violations=%d\n", res.Seed, res.Virtual.Round(time.Millisecond), len(w.h.Events), res.Lines, faults, len(vs))
	if len(vs) > 0 {
		w.explain(vs)
	}
	return res
}

func (w *world) explain(vs []check.Violation) {
	fmt.Println("broken:")
	for _, v := range vs {
		fmt.Println("  " + v.String())
	}
	fmt.Printf("plan:\n%s\n", w.plan)
	if b, err := json.Marshal(w.plan); err == nil {
		fmt.Printf("plan as data: %s\n", b)
	}
	fmt.Println("faults and notes:")
	for i := range w.h.Events {
		if e := &w.h.Events[i]; e.Kind == check.Fault || e.Kind == check.Crashed || e.Kind == check.Stopped || e.Kind == check.Started || e.Kind == check.Healed || e.Kind == check.Caught {
			fmt.Printf("  %9.3f %s %s %s\n", float64(e.At-w.start.UnixMilli())/1000, e.Kind, e.Worker, e.Note)
		}
	}
	for _, n := range w.nodes {
		fmt.Printf("last log lines of %s:\n", n.name)
		for _, l := range n.log.all() {
			fmt.Println("  " + l)
		}
	}
}
