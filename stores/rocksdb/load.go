package rocksdb

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/linxGnu/grocksdb"

	"github.com/weirstream/weir/core/store"
	"github.com/weirstream/weir/stores/bulk"
)

// loadDir is where loads keep their files, within the directory of the store,
// so that RocksDB can link them. Opening a store removes what a crash left.
const loadDir = "load"

// loadTableBytes is the size of the tables that a load makes.
const loadTableBytes = 64 << 20

var _ store.BulkLoader = (*Store)(nil)

// A loader sorts what it is given, makes tables of it and has RocksDB take
// them in: one edit of its manifest. The position is the last entry of the
// last table.
type loader struct {
	s      *Store
	e      *engine // the load is over when the store has another
	space  store.Space
	gen    store.Generation
	id     spaceID
	dir    loadFiles
	sorter *bulk.Sorter
	ended  bool
}

// Load implements store.BulkLoader.
func (s *Store) Load(sp store.Space, gen store.Generation, memory int) (store.Loader, error) {
	if err := s.Drop(sp, gen); err != nil {
		return nil, err
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	if err := s.check(sp, gen); err != nil {
		return nil, fmt.Errorf("loading %s: %w", sp, err)
	}
	l := &loader{s: s, e: s.e, space: sp, gen: gen, id: s.readers[sp].id}
	parent := filepath.Join(s.cfg.Dir, loadDir)
	err := os.MkdirAll(parent, 0o750)
	if err == nil {
		var name string
		name, err = os.MkdirTemp(parent, "")
		l.dir = loadFiles(name)
	}
	if err != nil {
		return nil, fmt.Errorf("loading %s: %w", sp, err)
	}
	l.sorter = bulk.New(l.dir, memory)
	return l, nil
}

// Add implements store.Loader.
func (l *loader) Add(key, value []byte) error {
	if l.ended {
		return l.over()
	}
	if err := l.sorter.Add(key, value); err != nil {
		return fmt.Errorf("loading %s: %w", l.space, l.why(err))
	}
	return nil
}

func (l *loader) over() error {
	return fmt.Errorf("loading %s: %w: the load has ended", l.space, store.ErrClosed)
}

// Commit implements store.Loader.
func (l *loader) Commit(p store.Position) error {
	if l.ended {
		return l.over()
	}
	defer l.Abort()
	if err := l.check(); err != nil {
		return fmt.Errorf("loading %s: %w", l.space, err)
	}
	defer l.s.reads.Done()
	tables, err := l.tables(p)
	if err == nil {
		err = l.ingest(tables)
	}
	if err != nil {
		return fmt.Errorf("loading %s: %w", l.space, l.s.met(l.id, err))
	}
	return nil
}

// check says whether the loader may go on, and keeps the store open until
// reads is done.
func (l *loader) check() error {
	l.s.mu.RLock()
	defer l.s.mu.RUnlock()
	if err := l.usable(); err != nil {
		return err
	}
	l.s.reads.Add(1)
	return nil
}

// usable says whether the loader's store is there. Its lock is held.
func (l *loader) usable() error {
	switch {
	case l.s.closed:
		return store.ErrClosed
	case l.s.e != l.e:
		return fmt.Errorf("%w: the store was damaged and is begun anew: open the space again", store.ErrCorrupt)
	}
	return nil
}

// why explains the error of a file: those of a store that is begun anew are put
// aside.
func (l *loader) why(err error) error {
	l.s.mu.RLock()
	defer l.s.mu.RUnlock()
	if gone := l.usable(); gone != nil {
		return gone
	}
	return err
}

func (l *loader) ingest(tables []string) error {
	l.s.mu.RLock()
	defer l.s.mu.RUnlock()
	if err := l.usable(); err != nil {
		return err
	}
	if err := l.s.check(l.space, l.gen); err != nil {
		return err
	}
	o := grocksdb.NewDefaultIngestExternalFileOptions()
	defer o.Destroy()
	o.SetMoveFiles(true)
	return l.e.db.IngestExternalFile(tables, o)
}

// Abort implements store.Loader.
func (l *loader) Abort() {
	if !l.ended {
		l.ended = true
		l.sorter.Close()
		_ = os.RemoveAll(string(l.dir)) // what is left is removed when the store is opened
	}
}

// tables writes sorted tables and returns their paths.
func (l *loader) tables(p store.Position) ([]string, error) {
	w := newTableWriter(l.e, l.dir)
	defer w.destroy()
	var full []byte
	err := l.sorter.Each(func(key, value []byte) error {
		full = append(l.id.appendData(full[:0]), key...)
		return w.put(full, value)
	})
	if err == nil {
		err = w.put(l.id.appendPosition(nil), store.AppendPosition(nil, p))
	}
	if err == nil {
		err = w.finish()
	}
	return w.paths, err
}

// A tableWriter writes tables one behind the other.
type tableWriter struct {
	dir   loadFiles
	env   *grocksdb.EnvOptions
	w     *grocksdb.SSTFileWriter
	open  bool
	paths []string
	bytes int
}

func newTableWriter(e *engine, dir loadFiles) *tableWriter {
	env := grocksdb.NewDefaultEnvOptions()
	return &tableWriter{dir: dir, env: env, w: grocksdb.NewSSTFileWriter(env, e.opts)}
}

func (w *tableWriter) put(key, value []byte) error {
	if w.open && w.bytes >= loadTableBytes {
		if err := w.finish(); err != nil {
			return err
		}
	}
	if !w.open {
		name := filepath.Join(string(w.dir), fmt.Sprintf("%d.sst", len(w.paths)))
		if err := w.w.Open(name); err != nil {
			return err
		}
		w.paths = append(w.paths, name)
		w.open, w.bytes = true, 0
	}
	w.bytes += len(key) + len(value)
	return w.w.Put(key, value)
}

func (w *tableWriter) finish() error {
	w.open = false
	return w.w.Finish()
}

func (w *tableWriter) destroy() {
	w.w.Destroy()
	w.env.Destroy()
}

// loadFiles is the directory of one load.
type loadFiles string

var _ bulk.FS = loadFiles("")

func (d loadFiles) path(name string) string { return filepath.Join(string(d), name) }

// Create implements bulk.FS.
func (d loadFiles) Create(name string) (io.WriteCloser, error) {
	return os.OpenFile(d.path(name), os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
}

// Open implements bulk.FS.
func (d loadFiles) Open(name string) (io.ReadCloser, error) { return os.Open(d.path(name)) }

// Remove implements bulk.FS.
func (d loadFiles) Remove(name string) error { return os.Remove(d.path(name)) }

// clearLoads removes what a crash left of loads.
func clearLoads(dir string) error {
	err := os.RemoveAll(filepath.Join(dir, loadDir))
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	return err
}
