package cluster

import (
	"bufio"
	"context"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"time"
)

// A trace is what happened, line by line, for the host to compare. It goes to
// /sim/trace in the simulator and nowhere otherwise.
type trace struct {
	mu    sync.Mutex
	start time.Time
	file  *os.File
	out   *bufio.Writer
	lines int64
	// at is called after each line, with its number.
	at func(n int64)
}

func newTrace() *trace {
	t := &trace{start: time.Now(), at: func(int64) {}}
	if os.Getenv("WEIR_SIM") == "" {
		return t
	}
	if f, err := os.Create("/sim/trace"); err == nil {
		t.file, t.out = f, bufio.NewWriterSize(f, 1<<16)
	}
	return t
}

// add writes an event: its number, its time in nanoseconds since the start, and
// what it is, in one line.
func (t *trace) add(format string, args ...any) { t.at(t.write(format, args...)) }

func (t *trace) write(format string, args ...any) (n int64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.lines++
	if t.out != nil {
		fmt.Fprintf(t.out, "%d %d ", t.lines, time.Since(t.start).Nanoseconds())
		fmt.Fprintf(t.out, format, args...)
		_ = t.out.WriteByte('\n')
	}
	return t.lines
}

// count is how many events there were.
func (t *trace) count() int64 {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.lines
}

// end writes the events so far to the file and takes no more.
func (t *trace) end() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.out != nil {
		_ = t.out.Flush()
		t.out = nil
	}
}

func (t *trace) flush() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.out != nil {
		_ = t.out.Flush()
	}
}

// A tail keeps the last lines of a worker's log and passes on what the level
// asks for.
type tail struct {
	w     *world
	name  string
	level slog.Level
	attrs string
	lines *ring
}

// A ring keeps the last lines.
type ring struct {
	mu    sync.Mutex
	lines []string
}

const ringSize = 25

func (r *ring) add(s string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.lines) == ringSize {
		r.lines = append(r.lines[:0], r.lines[1:]...)
	}
	r.lines = append(r.lines, s)
}

func (r *ring) all() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]string(nil), r.lines...)
}

// Enabled implements slog.Handler.
func (h *tail) Enabled(_ context.Context, l slog.Level) bool {
	return l >= min(h.level, slog.LevelInfo)
}

// Handle implements slog.Handler.
func (h *tail) Handle(_ context.Context, r slog.Record) error {
	s := fmt.Sprintf("%9.3f %s %s %s%s", time.Since(h.w.start).Seconds(), h.name, r.Level, r.Message, h.attrs)
	r.Attrs(func(a slog.Attr) bool {
		s += fmt.Sprintf(" %s=%v", a.Key, a.Value)
		return true
	})
	if r.Level >= slog.LevelInfo {
		h.lines.add(s)
	}
	if r.Level >= h.level && h.w.trace.count() >= h.w.inspect.logFrom {
		fmt.Fprintln(os.Stderr, s)
	}
	return nil
}

// WithAttrs implements slog.Handler.
func (h *tail) WithAttrs(attrs []slog.Attr) slog.Handler {
	c := *h
	for _, a := range attrs {
		c.attrs += fmt.Sprintf(" %s=%v", a.Key, a.Value)
	}
	return &c
}

// WithGroup implements slog.Handler.
func (h *tail) WithGroup(string) slog.Handler { return h }
