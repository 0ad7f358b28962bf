package cluster

import (
	"bufio"
	"context"
	"fmt"
	"log/slog"
	"os"
	"strconv"
	"sync"
	"time"

	"github.com/weirstream/weir/sim/simnet"
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

// frame is add for a request or a response: most lines are one.
func (t *trace) frame(kind string, wr *simnet.Write, key int16, corr, sum uint32) {
	t.mu.Lock()
	b := t.begin()
	if b != nil {
		b = strconv.AppendInt(append(append(b, kind...), " conn "...), int64(wr.Conn), 10)
		b = append(append(append(append(b, ' '), wr.From...), '>'), wr.To...)
		b = strconv.AppendInt(append(b, " key "...), int64(key), 10)
		b = strconv.AppendUint(append(b, " corr "...), uint64(corr), 10)
		b = append(strconv.AppendInt(append(b, " len "...), int64(len(wr.Data)), 10), " crc "...)
		for bits := 28; bits >= 0; bits -= 4 {
			b = append(b, "0123456789abcdef"[sum>>bits&0xf])
		}
	}
	t.at(t.end(b))
}

func (t *trace) write(format string, args ...any) (n int64) {
	t.mu.Lock()
	b := t.begin()
	if b != nil {
		b = fmt.Appendf(b, format, args...)
	}
	return t.end(b)
}

// begin begins a line, which end ends; it is nil when nobody reads it. Between
// the two the trace is locked.
func (t *trace) begin() []byte {
	t.lines++
	if t.out == nil {
		return nil
	}
	b := append(strconv.AppendInt(t.out.AvailableBuffer(), t.lines, 10), ' ')
	return append(strconv.AppendInt(b, time.Since(t.start).Nanoseconds(), 10), ' ')
}

// end returns the number of the line.
func (t *trace) end(b []byte) (n int64) {
	if b != nil {
		_, _ = t.out.Write(append(b, '\n'))
	}
	n = t.lines
	t.mu.Unlock()
	return n
}

// count is how many events there were.
func (t *trace) count() int64 {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.lines
}

// close writes the events so far to the file and takes no more.
func (t *trace) close() {
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
