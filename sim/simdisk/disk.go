package simdisk

import (
	"errors"
	"io/fs"
	"math/rand/v2"
	"slices"
	"sync"
	"time"
)

// Errors of a disk.
var (
	ErrFull    = errors.New("simdisk: no space left on device")
	ErrIO      = errors.New("simdisk: input/output error")
	ErrCrashed = errors.New("simdisk: the process that opened the file is gone")
	ErrInUse   = errors.New("simdisk: locked by another process")
)

// A Disk keeps files. Its methods are safe for concurrent use.
type Disk struct {
	mu    sync.Mutex
	rng   *rand.Rand
	files map[string]*content
	// epoch counts crashes: files opened before one are dead.
	epoch  int
	locked bool
	free   int // bytes left; negative means no limit
	syncs  int // how many syncs fail from now on
	slow   time.Duration
	fail   error // what every write fails with
	gate   func()
	before func() // called before each write
}

// A content is what a file holds: data, of which the first synced bytes
// survive a loss of power.
type content struct {
	data   []byte
	synced int
}

// New returns an empty disk; the seed decides what a loss of power leaves.
func New(seed uint64) *Disk {
	return &Disk{rng: rand.New(rand.NewPCG(seed, 0xd15c)), files: make(map[string]*content), free: -1}
}

// SetGate sets a function that is called at the begin of each access, without
// locks: the simulator makes it wait while the process is paused or dead.
func (d *Disk) SetGate(f func()) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.gate = f
}

// SetFree limits how many more bytes can be written; negative is no limit.
func (d *Disk) SetFree(n int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.free = n
}

// FailSyncs makes the next n syncs fail.
func (d *Disk) FailSyncs(n int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.syncs = n
}

// Fail makes all writes and syncs fail with err, until it is called with nil.
func (d *Disk) Fail(err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.fail = err
}

// onWrite sets a function to be called before each write.
func (d *Disk) onWrite(f func()) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.before = f
}

// clone copies what is on the disk.
func (d *Disk) clone(seed uint64) *Disk {
	d.mu.Lock()
	defer d.mu.Unlock()
	c := New(seed)
	for name, f := range d.files {
		c.files[name] = &content{slices.Clone(f.data), f.synced}
	}
	return c
}

// SetSlow makes each write and sync take that long.
func (d *Disk) SetSlow(t time.Duration) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.slow = t
}

// Crash ends the process that uses the disk. What it wrote stays.
func (d *Disk) Crash() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.crash()
}

func (d *Disk) crash() {
	d.epoch++
	d.locked = false
	d.gate = nil
}

// PowerLoss ends the machine. Of what was not synced a prefix is left, cut
// anywhere, and now and then with a hole of zeros in it, as when blocks reach
// the disk out of order.
func (d *Disk) PowerLoss() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.crash()
	for _, name := range d.names() {
		c := d.files[name]
		lost := len(c.data) - c.synced
		if lost <= 0 {
			continue
		}
		keep := d.rng.IntN(lost + 1)
		c.data = c.data[:c.synced+keep]
		if keep > 16 && d.rng.IntN(4) == 0 {
			at := c.synced + d.rng.IntN(keep-8)
			clear(c.data[at : at+8])
		}
		c.synced = len(c.data)
	}
}

// FlipBit flips one bit somewhere and reports whether there was anything to
// flip.
func (d *Disk) FlipBit() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	total := 0
	for _, c := range d.files {
		total += len(c.data)
	}
	if total == 0 {
		return false
	}
	at := d.rng.IntN(total)
	for _, name := range d.names() {
		c := d.files[name]
		if at < len(c.data) {
			c.data[at] ^= 1 << d.rng.IntN(8)
			return true
		}
		at -= len(c.data)
	}
	return false
}

// Wipe empties the disk: it was replaced.
func (d *Disk) Wipe() {
	d.mu.Lock()
	defer d.mu.Unlock()
	clear(d.files)
}

func (d *Disk) names() []string {
	names := make([]string, 0, len(d.files))
	for name := range d.files {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// enter begins an access of a process.
func (d *Disk) enter(writing bool) {
	d.mu.Lock()
	gate, slow, before := d.gate, d.slow, d.before
	d.mu.Unlock()
	if writing && before != nil {
		before()
	}
	if gate != nil {
		gate()
	}
	if writing && slow > 0 {
		t := time.NewTimer(slow)
		<-t.C
	}
}

// Lock takes the disk for one process, or fails with ErrInUse.
func (d *Disk) lock() (epoch int, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.locked {
		return 0, ErrInUse
	}
	d.locked = true
	return d.epoch, nil
}

func (d *Disk) unlock(epoch int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.epoch == epoch {
		d.locked = false
	}
}

// read returns a file.
func (d *Disk) read(epoch int, name string) ([]byte, error) {
	d.enter(false)
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.epoch != epoch {
		return nil, ErrCrashed
	}
	c := d.files[name]
	if c == nil {
		return nil, fs.ErrNotExist
	}
	return slices.Clone(c.data), nil
}

// append adds to the end of a file, making it when needed. A full disk takes
// as much as fits before it fails.
func (d *Disk) append(epoch int, name string, b []byte) error {
	d.enter(true)
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.epoch != epoch {
		return ErrCrashed
	}
	if d.fail != nil {
		return d.fail
	}
	c := d.files[name]
	if c == nil {
		c = &content{}
		d.files[name] = c
	}
	if d.free >= 0 {
		fits := min(len(b), d.free)
		d.free -= fits
		c.data = append(c.data, b[:fits]...)
		if fits < len(b) {
			return ErrFull
		}
		return nil
	}
	c.data = append(c.data, b...)
	return nil
}

// truncate cuts a file.
func (d *Disk) truncate(epoch int, name string, size int) error {
	d.enter(true)
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.epoch != epoch {
		return ErrCrashed
	}
	if d.fail != nil {
		return d.fail
	}
	if c := d.files[name]; c != nil && size < len(c.data) {
		if d.free >= 0 {
			d.free += len(c.data) - size
		}
		c.data = c.data[:size]
		c.synced = min(c.synced, size)
	}
	return nil
}

// sync makes what a file holds survive a loss of power. After a failed sync
// nobody knows what is on the disk.
func (d *Disk) sync(epoch int, name string) error {
	d.enter(true)
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.epoch != epoch {
		return ErrCrashed
	}
	if d.fail != nil {
		return d.fail
	}
	if d.syncs > 0 {
		d.syncs--
		return ErrIO
	}
	if c := d.files[name]; c != nil {
		c.synced = len(c.data)
	}
	return nil
}

// rename puts a synced file in the place of another, atomically and durably.
func (d *Disk) rename(epoch int, from, to string) error {
	d.enter(true)
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.epoch != epoch {
		return ErrCrashed
	}
	if d.fail != nil {
		return d.fail
	}
	if d.files[from] == nil {
		return fs.ErrNotExist
	}
	d.files[to] = d.files[from]
	delete(d.files, from)
	return nil
}
