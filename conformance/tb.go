package conformance

import (
	"fmt"
	"os"
	"runtime"
	"sync"

	"pgregory.net/rapid"
)

// TB is what checks need of a test; *testing.T has it. A Recorder has it too,
// so that a test can show which faults the checks find.
type TB interface {
	rapid.TB
	Cleanup(f func())
	TempDir() string
}

// A Recorder runs a check without failing the test that does it. Its methods
// may be called from several goroutines at once.
type Recorder struct {
	name string

	mu       sync.Mutex
	log      []string
	failed   bool
	skipped  bool
	cleanups []func()
}

var _ TB = (*Recorder)(nil)

// Record runs f to its end, or to its FailNow, in a goroutine of its own, and
// then what f gave to Cleanup. Panics count as failures.
func Record(name string, f func(tb TB)) *Recorder {
	r := &Recorder{name: name}
	r.run(func() { f(r) })
	for len(r.cleanups) > 0 {
		last := r.cleanups[len(r.cleanups)-1]
		r.cleanups = r.cleanups[:len(r.cleanups)-1]
		r.run(last)
	}
	return r
}

func (r *Recorder) run(f func()) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer func() {
			if p := recover(); p != nil {
				r.Errorf("panic: %v", p)
			}
		}()
		f()
	}()
	<-done
}

// Messages returns what was logged.
func (r *Recorder) Messages() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]string(nil), r.log...)
}

// Helper implements TB.
func (r *Recorder) Helper() {}

// Name implements TB.
func (r *Recorder) Name() string { return r.name }

// Logf implements TB.
func (r *Recorder) Logf(format string, args ...any) { r.Log(fmt.Sprintf(format, args...)) }

// Log implements TB.
func (r *Recorder) Log(args ...any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.log = append(r.log, fmt.Sprint(args...))
}

// Skipf implements TB.
func (r *Recorder) Skipf(format string, args ...any) { r.Logf(format, args...); r.SkipNow() }

// Skip implements TB.
func (r *Recorder) Skip(args ...any) { r.Log(args...); r.SkipNow() }

// SkipNow implements TB.
func (r *Recorder) SkipNow() {
	r.mu.Lock()
	r.skipped = true
	r.mu.Unlock()
	runtime.Goexit()
}

// Errorf implements TB.
func (r *Recorder) Errorf(format string, args ...any) { r.Logf(format, args...); r.Fail() }

// Error implements TB.
func (r *Recorder) Error(args ...any) { r.Log(args...); r.Fail() }

// Fatalf implements TB.
func (r *Recorder) Fatalf(format string, args ...any) { r.Logf(format, args...); r.FailNow() }

// Fatal implements TB.
func (r *Recorder) Fatal(args ...any) { r.Log(args...); r.FailNow() }

// FailNow implements TB.
func (r *Recorder) FailNow() {
	r.Fail()
	runtime.Goexit()
}

// Fail implements TB.
func (r *Recorder) Fail() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.failed = true
}

// Failed implements TB.
func (r *Recorder) Failed() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.failed
}

// Skipped reports whether the check was skipped.
func (r *Recorder) Skipped() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.skipped
}

// Cleanup implements TB.
func (r *Recorder) Cleanup(f func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.cleanups = append(r.cleanups, f)
}

// TempDir implements TB.
func (r *Recorder) TempDir() string {
	dir, err := os.MkdirTemp("", "conformance")
	if err != nil {
		r.Fatalf("making a temporary directory: %v", err)
	}
	r.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}
