package cli

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"sync"
	"time"
)

// A screen is standard error: log lines, and on a terminal below them one
// line of progress that is written anew each time.
type screen struct {
	mu       sync.Mutex
	w        io.Writer
	terminal bool
	line     string
	shown    time.Time
}

func newScreen(w io.Writer) *screen { return &screen{w: w, terminal: isTerminal(w)} }

// isTerminal reports whether w is a terminal.
func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	if !ok {
		return false
	}
	info, err := f.Stat()
	if err != nil || info.Mode()&os.ModeCharDevice == 0 {
		return false
	}
	null, err := os.Stat(os.DevNull)
	return err != nil || !os.SameFile(info, null)
}

// eraseLine goes to the start of the line and clears it.
const eraseLine = "\r\x1b[K"

// Write writes whole lines above the line of progress.
func (s *screen) Write(b []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.line == "" {
		return s.w.Write(b)
	}
	var all bytes.Buffer
	all.WriteString(eraseLine)
	all.Write(b)
	all.WriteString(s.line)
	if _, err := s.w.Write(all.Bytes()); err != nil {
		return 0, err
	}
	return len(b), nil
}

// linesEvery is how often progress is a line of its own without a terminal.
const linesEvery = 5 * time.Second

// show replaces the line of progress. Without a terminal it writes a line,
// but not too often.
func (s *screen) show(line string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.terminal {
		if now := time.Now(); now.Sub(s.shown) >= linesEvery {
			s.shown = now
			fmt.Fprintln(s.w, line)
		}
		return
	}
	s.line = line
	fmt.Fprint(s.w, eraseLine+line)
}

// finish ends the line of progress; a last one replaces it.
func (s *screen) finish(line string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.line != "" {
		fmt.Fprint(s.w, eraseLine)
	}
	s.line = ""
	if line != "" {
		fmt.Fprintln(s.w, line)
	}
}

// Progressf shows where long work is: a line that changes on a terminal, now
// and then a line elsewhere.
func (e *Env) Progressf(format string, args ...any) { e.screen.show(fmt.Sprintf(format, args...)) }

// ProgressDonef replaces the progress by a last line, or with "" removes it.
func (e *Env) ProgressDonef(format string, args ...any) {
	e.screen.finish(fmt.Sprintf(format, args...))
}
