package cli

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/weirstream/weir/core/record"
	"github.com/weirstream/weir/core/store"
	coreworker "github.com/weirstream/weir/core/worker"
	"github.com/weirstream/weir/runtime"
)

// A monitor tells people how a worker is doing: a line of progress on a
// terminal, log lines elsewhere.
type monitor struct {
	e     *Env
	tr    runtime.Transport
	store store.Store
	every time.Duration

	mu       sync.Mutex
	restores map[store.Space]runtime.RestoreProgress
}

const (
	terminalEvery = time.Second
	logEvery      = 30 * time.Second
)

func newMonitor(e *Env, tr runtime.Transport, st store.Store) *monitor {
	m := &monitor{e: e, tr: tr, store: st, every: logEvery, restores: make(map[store.Space]runtime.RestoreProgress)}
	if e.screen.terminal {
		m.every = terminalEvery
	}
	return m
}

// restored hears of the progress of restores.
func (m *monitor) restored(p runtime.RestoreProgress) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if !p.Done {
		m.restores[p.Space] = p
		return
	}
	delete(m.restores, p.Space)
	if p.Records > 0 {
		m.e.Log.Info("restored", "space", p.Space.String(), "records", p.Records, "elapsed", p.Elapsed.Round(time.Millisecond))
	}
}

// restoring sums the restores under way up.
func (m *monitor) restoring() (spaces int, done, total int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, p := range m.restores {
		spaces++
		done += p.At - p.From
		total += p.To - p.From
	}
	return spaces, done, total
}

// start watches a worker until the function it returns is called.
func (m *monitor) start(ctx context.Context, w *runtime.Worker) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	var done sync.WaitGroup
	done.Go(func() {
		tick := time.NewTicker(m.every)
		defer tick.Stop()
		last := sample{at: time.Now()}
		for {
			select {
			case <-tick.C:
				last = m.report(ctx, w, last)
			case <-ctx.Done():
				return
			}
		}
	})
	return func() {
		cancel()
		done.Wait()
		m.e.screen.finish("")
	}
}

// A sample is what was seen at one moment.
type sample struct {
	at                time.Time
	processed         map[string]int64 // by task and generation
	states            map[coreworker.State]int
	next              map[record.TopicPartition]int64
	lag               int64
	rate              float64
	spaces            int
	restored, toStore int64
}

// report takes a sample and shows it.
func (m *monitor) report(ctx context.Context, w *runtime.Worker, last sample) sample {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	s := sampleOf(w.Status(ctx), time.Now())
	if ctx.Err() != nil {
		return last
	}
	s.rate = s.since(last)
	s.spaces, s.restored, s.toStore = m.restoring()
	ends, err := m.tr.Offsets(ctx, slices.Collect(maps.Keys(s.next)))
	if err != nil {
		return s // the transport says what is wrong
	}
	for tp, next := range s.next {
		s.lag += max(ends[tp].End-next, 0)
	}
	if m.e.screen.terminal {
		m.e.screen.show(s.line())
		return s
	}
	m.e.Log.Info("progress", "tasks", s.tasks(), "rate", int64(s.rate), "lag", s.lag, "restoring", s.spaces)
	m.storeNumbers(ctx)
	return s
}

// storeNumbers logs what the stores count, for who wants to know it.
func (m *monitor) storeNumbers(ctx context.Context) {
	meter, ok := m.store.(store.Meter)
	if !ok || !m.e.Log.Enabled(ctx, slog.LevelDebug) {
		return
	}
	var args []any
	for _, n := range meter.Metrics() {
		args = append(args, n.Name, n.Value)
	}
	m.e.Log.Debug("store", args...)
}

func sampleOf(st runtime.Status, now time.Time) sample {
	s := sample{
		at: now, processed: make(map[string]int64),
		states: make(map[coreworker.State]int), next: make(map[record.TopicPartition]int64),
	}
	for _, t := range st.Tasks {
		s.states[t.State]++
		s.processed[fmt.Sprintf("%s@%d", t.Task, t.Generation)] = t.Stats.Processed
		maps.Copy(s.next, t.Next)
	}
	return s
}

// since is the number of records a second between two samples.
func (s *sample) since(last sample) float64 {
	var n int64
	for task, processed := range s.processed {
		n += max(processed-last.processed[task], 0)
	}
	d := s.at.Sub(last.at).Seconds()
	if d <= 0 {
		return 0
	}
	return float64(n) / d
}

// tasks counts the tasks by state.
func (s *sample) tasks() string {
	var parts []string
	for _, state := range slices.Sorted(maps.Keys(s.states)) {
		parts = append(parts, fmt.Sprintf("%d %s", s.states[state], state))
	}
	if len(parts) == 0 {
		return "none"
	}
	return strings.Join(parts, ", ")
}

func (s *sample) line() string {
	line := fmt.Sprintf("tasks: %s · %.0f records/s · lag %d", s.tasks(), s.rate, s.lag)
	if s.spaces > 0 {
		line += fmt.Sprintf(" · restoring %d tables, %d of %d records", s.spaces, s.restored, s.toStore)
	}
	return line
}
