//go:build linux

package faultdisk

// extern int faultdisk_active;
import "C"

import (
	"errors"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
)

// A Disk is a directory whose files C code changes. Its methods may be called
// from several goroutines at once.
type Disk struct {
	dir string

	calls  sync.Mutex // held while before runs
	mu     sync.Mutex
	before func()
	err    syscall.Errno
	left   int // changes that fail yet, all when negative
	seen   int
}

var (
	mu    sync.RWMutex
	disks = make(map[string]*Disk)
)

// New watches a directory, which may not exist yet, until Close.
func New(dir string) (*Disk, error) {
	abs, err := filepath.Abs(dir)
	if err != nil {
		return nil, err
	}
	if abs, err = resolve(abs); err != nil {
		return nil, err
	}
	d := &Disk{dir: abs}
	mu.Lock()
	defer mu.Unlock()
	if disks[abs] != nil {
		return nil, errors.New("faultdisk: " + abs + " is watched already")
	}
	disks[abs] = d
	C.faultdisk_active = C.int(len(disks))
	return d, nil
}

// resolve follows links in the parts of a path that exist, because the kernel
// names files without them.
func resolve(path string) (string, error) {
	if whole, err := filepath.EvalSymlinks(path); err == nil {
		return whole, nil
	}
	parent, err := filepath.EvalSymlinks(filepath.Dir(path))
	return filepath.Join(parent, filepath.Base(path)), err
}

// Close ends the watch.
func (d *Disk) Close() {
	mu.Lock()
	defer mu.Unlock()
	delete(disks, d.dir)
	C.faultdisk_active = C.int(len(disks))
}

// OnWrite has f called before anything in the directory is changed, one call
// at a time; nil ends that.
func (d *Disk) OnWrite(f func()) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.before = f
}

// Fail makes all changes fail with an error, until it is called with 0.
func (d *Disk) Fail(err syscall.Errno) { d.fail(err, -1) }

// FailOnce makes one change fail with an error: the present one, when it is
// called by what OnWrite was given.
func (d *Disk) FailOnce(err syscall.Errno) { d.fail(err, 1) }

func (d *Disk) fail(err syscall.Errno, n int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.err, d.left = err, n
}

// Refused is how many changes failed.
func (d *Disk) Refused() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.seen
}

func (d *Disk) change() syscall.Errno {
	d.calls.Lock()
	defer d.calls.Unlock()
	d.mu.Lock()
	before := d.before
	d.mu.Unlock()
	if before != nil {
		before()
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	err := d.err
	if err == 0 {
		return 0
	}
	d.seen++
	if d.left--; d.left == 0 {
		d.err = 0
	}
	return err
}

// faultdiskChange is called before C code changes a file, and returns the
// error number with which that has to fail, or 0.
//
//export faultdiskChange
func faultdiskChange(path *C.char) C.int {
	name := C.GoString(path)
	mu.RLock()
	var d *Disk
	for dir := filepath.Dir(name); d == nil && strings.Contains(dir, "/"); dir = filepath.Dir(dir) {
		if d = disks[dir]; dir == "/" {
			break
		}
	}
	mu.RUnlock()
	if d == nil {
		return 0
	}
	return C.int(d.change())
}
