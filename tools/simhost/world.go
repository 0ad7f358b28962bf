package simhost

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"hash"
	"math/rand/v2"
	"os"
	"sync/atomic"
	"time"
)

// start is the virtual clock at the beginning of every run. It is not zero,
// because zero has a meaning of its own in Go's scheduler, where a run would
// then hang.
const start = int64(time.Hour)

// epoch is the wall clock's time at the start of seed 0: 1 January 2026, UTC.
// Each seed begins some seconds later, within a year, because programs seed
// their own generators from the wall clock, rapid among them.
const epoch = int64(1767225600) * int64(time.Second)

// A yield moves the clock by yieldStep, so that spinning ends, but only once
// there were many without a sleep: the garbage collector yields as well, and
// must not be seen.
const (
	yieldStep = int64(time.Microsecond)
	manyYield = 1000
)

// maxReads is how often the clock may be read while it stands still.
const maxReads = 200_000_000

// A world is what one run can see of time and chance. A wasip1 program has one
// thread, so nothing here is used by two at once.
type world struct {
	now      int64
	deadline int64
	epoch    int64
	rand     *rand.ChaCha8
	hash     hash.Hash
	events   int64
	reads    int64
	yields   int64
	abort    atomic.Bool // wall time is over
	err      error
	buf      [17]byte
}

func newWorld(seed uint64, order uint32, deadline time.Duration) *world {
	var key [32]byte
	binary.LittleEndian.PutUint64(key[:], seed)
	copy(key[8:], "weir simulation seed")
	binary.LittleEndian.PutUint32(key[28:], order)
	return &world{now: start, epoch: epoch + int64(seed%31_536_000)*int64(time.Second), deadline: start + int64(deadline), rand: rand.NewChaCha8(key), hash: sha256.New()}
}

// note adds an event to the trace.
func (w *world) note(kind byte, arg int64) {
	w.events++
	w.reads = 0
	w.buf[0] = kind
	binary.LittleEndian.PutUint64(w.buf[1:], uint64(w.now))
	binary.LittleEndian.PutUint64(w.buf[9:], uint64(arg))
	w.hash.Write(w.buf[:])
}

// fail ends the run from within a host function.
func (w *world) fail(err error) {
	w.err = err
	panic(err)
}

// Read is the source of randomness.
func (w *world) Read(p []byte) (int, error) {
	w.note('r', int64(len(p)))
	n, err := w.rand.Read(p)
	w.hash.Write(p[:n])
	return n, err
}

func (w *world) read() {
	if w.reads++; w.reads > maxReads {
		w.fail(ErrSpin)
	}
	w.alive()
}

// alive ends the run when its real time is over.
func (w *world) alive() {
	if w.abort.Load() {
		w.fail(ErrWall)
	}
}

func (w *world) walltime() (int64, int32) {
	w.read()
	at := w.epoch + w.now - start
	return at / int64(time.Second), int32(at % int64(time.Second))
}

func (w *world) nanotime() int64 {
	w.read()
	return w.now
}

func (w *world) nanosleep(ns int64) {
	w.alive()
	w.yields = 0
	w.note('s', ns)
	w.advance(max(ns, 0))
}

func (w *world) yield() {
	w.alive()
	if w.yields++; w.yields < manyYield {
		return
	}
	w.yields = 0
	w.note('y', 0)
	w.advance(yieldStep)
}

func (w *world) advance(ns int64) {
	w.now += ns
	if w.now > w.deadline {
		w.fail(ErrDeadline)
	}
}

// trace ends the hash with what the program wrote to its trace file, and
// counts its lines.
func (w *world) trace(file string) (sum string, lines int64) {
	if b, err := os.ReadFile(file); err == nil {
		w.hash.Write(b)
		lines = int64(bytes.Count(b, []byte{'\n'}))
	}
	return hex.EncodeToString(w.hash.Sum(nil)), lines
}
