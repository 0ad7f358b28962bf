package pebble

import (
	"fmt"
	"io/fs"
	"log/slog"
	"strings"
	"sync/atomic"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// A disk is the file system as Pebble sees it. It does two things to the
// write-ahead log: it leaves fsync out unless sync is set, and it keeps
// failures from Pebble, which would answer them with a panic. The first
// failure makes the disk failed for good: later writes to logs go nowhere, so
// that what is there stays a clean prefix.
type disk struct {
	vfs.FS

	sync    atomic.Bool
	failure atomic.Pointer[error]
	log     *slog.Logger
}

// fail notes the first failure.
func (d *disk) fail(err error) {
	err = fmt.Errorf("pebble: the store has failed and takes no more writes (what was applied before is kept; check the disk and restart the worker): %w", err)
	if d.failure.CompareAndSwap(nil, &err) {
		d.log.Error("the store has failed", "error", err)
	}
}

// err is the failure, or nil.
func (d *disk) err() error {
	if p := d.failure.Load(); p != nil {
		return *p
	}
	return nil
}

// Unwrap implements vfs.FS.
func (d *disk) Unwrap() vfs.FS { return d.FS }

func isLog(name string) bool { return strings.HasSuffix(name, ".log") }

// Create implements vfs.FS.
func (d *disk) Create(name string, category vfs.DiskWriteCategory) (vfs.File, error) {
	if !isLog(name) {
		return d.FS.Create(name, category)
	}
	return d.newLog(func() (vfs.File, error) { return d.FS.Create(name, category) })
}

// ReuseForWrite implements vfs.FS.
func (d *disk) ReuseForWrite(oldname, newname string, category vfs.DiskWriteCategory) (vfs.File, error) {
	if !isLog(newname) {
		return d.FS.ReuseForWrite(oldname, newname, category)
	}
	return d.newLog(func() (vfs.File, error) { return d.FS.ReuseForWrite(oldname, newname, category) })
}

func (d *disk) newLog(create func() (vfs.File, error)) (vfs.File, error) {
	if d.err() != nil {
		return nowhere{}, nil //nolint:nilerr // the failure is reported by Apply; Pebble would panic on it
	}
	f, err := create()
	if err != nil {
		d.fail(err)
		return nowhere{}, nil
	}
	return &logFile{File: f, disk: d}, nil
}

// OpenDir implements vfs.FS. Making a log includes a sync of its directory.
func (d *disk) OpenDir(name string) (vfs.File, error) {
	f, err := d.FS.OpenDir(name)
	if err != nil {
		return nil, err
	}
	return dirFile{f, d}, nil
}

type dirFile struct {
	vfs.File

	disk *disk
}

// Sync implements vfs.File.
func (f dirFile) Sync() error {
	if err := f.File.Sync(); err != nil {
		f.disk.fail(err)
	}
	return nil
}

// A logFile is one file of the write-ahead log.
type logFile struct {
	vfs.File

	disk *disk
}

// attempt runs one operation unless the disk has failed.
func (f *logFile) attempt(op func() error) {
	if f.disk.err() != nil {
		return
	}
	if err := op(); err != nil {
		f.disk.fail(err)
	}
}

// Write implements vfs.File.
func (f *logFile) Write(p []byte) (int, error) {
	f.attempt(func() error { _, err := f.File.Write(p); return err })
	return len(p), nil
}

// Sync implements vfs.File.
func (f *logFile) Sync() error {
	if f.disk.sync.Load() {
		f.attempt(f.File.Sync)
	}
	return nil
}

// SyncData implements vfs.File.
func (f *logFile) SyncData() error {
	if f.disk.sync.Load() {
		f.attempt(f.File.SyncData)
	}
	return nil
}

// SyncTo implements vfs.File.
func (f *logFile) SyncTo(length int64) (full bool, err error) {
	f.attempt(func() error { full, err = f.File.SyncTo(length); return err })
	return full, nil
}

// Stat implements vfs.File.
func (f *logFile) Stat() (vfs.FileInfo, error) {
	info, err := f.File.Stat()
	if err != nil {
		f.disk.fail(err)
		return noInfo{}, nil
	}
	return info, nil
}

// Close implements vfs.File. A finished log is synced always: the next one
// may reach the disk before it, and a log with a damaged end that is not the
// last one is corruption.
func (f *logFile) Close() error {
	f.attempt(f.File.Sync)
	if err := f.File.Close(); err != nil {
		f.disk.fail(err)
	}
	return nil
}

// nowhere takes the place of a log that cannot be made.
type nowhere struct{}

func (nowhere) Close() error                           { return nil }
func (nowhere) Read([]byte) (int, error)               { return 0, fs.ErrInvalid }
func (nowhere) ReadAt([]byte, int64) (int, error)      { return 0, fs.ErrInvalid }
func (nowhere) Write(p []byte) (int, error)            { return len(p), nil }
func (nowhere) WriteAt(p []byte, _ int64) (int, error) { return len(p), nil }
func (nowhere) Preallocate(_, _ int64) error           { return nil }
func (nowhere) Stat() (vfs.FileInfo, error)            { return noInfo{}, nil }
func (nowhere) Sync() error                            { return nil }
func (nowhere) SyncTo(int64) (full bool, err error)    { return false, nil }
func (nowhere) SyncData() error                        { return nil }
func (nowhere) Prefetch(_, _ int64) error              { return nil }
func (nowhere) Fd() uintptr                            { return vfs.InvalidFd }

// noInfo describes an empty file.
type noInfo struct{}

func (noInfo) Name() string           { return "" }
func (noInfo) Size() int64            { return 0 }
func (noInfo) Mode() fs.FileMode      { return 0 }
func (noInfo) ModTime() time.Time     { return time.Time{} }
func (noInfo) IsDir() bool            { return false }
func (noInfo) Sys() any               { return nil }
func (noInfo) DeviceID() vfs.DeviceID { return vfs.DeviceID{} }
