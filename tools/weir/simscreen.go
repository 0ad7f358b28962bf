package main

import (
	"fmt"
	"io"
	"os"
	"strconv"
	"sync"
	"time"
)

// A screen prints lines. On a terminal its last line says how far things are.
type screen struct {
	mu     sync.Mutex
	out    io.Writer
	tty    bool
	status func() string
	stop   chan struct{}
	once   sync.Once
}

func newScreen(out io.Writer) *screen {
	s := &screen{out: out, tty: terminal(out), stop: make(chan struct{})}
	if s.tty {
		go s.refresh()
	}
	return s
}

// terminal reports whether what is written to out is seen at once.
func terminal(out io.Writer) bool {
	f, ok := out.(*os.File)
	if !ok || os.Getenv("TERM") == "dumb" {
		return false
	}
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}

// width is how many characters fit in a line, as far as is known.
func width() int {
	if n, err := strconv.Atoi(os.Getenv("COLUMNS")); err == nil && n > 0 {
		return n
	}
	return 120
}

// set says what the last line shows.
func (s *screen) set(status func() string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.status = status
	s.draw()
}

func (s *screen) refresh() {
	t := time.NewTicker(500 * time.Millisecond)
	defer t.Stop()
	for {
		select {
		case <-s.stop:
			return
		case <-t.C:
			s.mu.Lock()
			s.draw()
			s.mu.Unlock()
		}
	}
}

const clearLine = "\r\x1b[K"

// draw writes the last line anew.
func (s *screen) draw() {
	if s.tty && s.status != nil {
		line := []rune(s.status())
		fmt.Fprint(s.out, clearLine+string(line[:min(len(line), width()-1)]))
	}
}

// printf prints a line.
func (s *screen) printf(format string, args ...any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.tty && s.status != nil {
		fmt.Fprint(s.out, clearLine)
	}
	fmt.Fprintf(s.out, format+"\n", args...)
	s.draw()
}

// Write prints text as it is; the last line is away meanwhile.
func (s *screen) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.tty && s.status != nil {
		fmt.Fprint(s.out, clearLine)
		s.status = nil
	}
	return s.out.Write(p)
}

// close takes the last line away.
func (s *screen) close() {
	s.once.Do(func() {
		close(s.stop)
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.tty && s.status != nil {
			fmt.Fprint(s.out, clearLine)
		}
		s.status = nil
	})
}
