package pebble

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/objstorage/objstorageprovider"
	"github.com/cockroachdb/pebble/v2/sstable"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/weirstream/weir/core/store"
	"github.com/weirstream/weir/stores/bulk"
)

// loadDir is where loads keep their files, within the directory of the store.
// Opening a store removes what a crash left there.
const loadDir = "load"

// loadTableBytes is the size of the tables that a load makes.
const loadTableBytes = 64 << 20

var _ store.BulkLoader = (*Store)(nil)

// A loader sorts what it is given, makes tables of it and has Pebble take them
// in: one edit of its manifest. The position is the last entry of the last
// table.
type loader struct {
	s      *Store
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
	l := &loader{s: s, space: sp, gen: gen, id: s.catalog.ids[sp]}
	l.dir = loadFiles{s.disk, s.disk.PathJoin(s.dir, loadDir, fmt.Sprintf("%016x", rand.Uint64()))}
	if err := s.disk.MkdirAll(l.dir.path, 0o755); err != nil {
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
		return fmt.Errorf("loading %s: %w", l.space, err)
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
	tables, err := l.tables(p)
	if err == nil {
		err = l.ingest(tables)
	}
	if err != nil {
		return fmt.Errorf("loading %s: %w", l.space, mark(err))
	}
	return nil
}

func (l *loader) ingest(tables []string) error {
	l.s.mu.RLock()
	defer l.s.mu.RUnlock()
	if err := l.s.usable(); err != nil {
		return err
	}
	if err := l.s.fence.Check(l.space, l.gen); err != nil {
		return err
	}
	err := errors.Join(l.s.db.Ingest(context.Background(), tables), l.s.disk.err())
	if err == nil {
		l.s.readers[l.space].lost.Store(false) // all of it is new
	}
	return err
}

// Abort implements store.Loader.
func (l *loader) Abort() {
	if !l.ended {
		l.ended = true
		l.sorter.Close()
		_ = l.dir.RemoveAll(l.dir.path) // what is left is removed when the store is opened
	}
}

// tables writes sorted tables and returns their paths.
func (l *loader) tables(p store.Position) ([]string, error) {
	w := tableWriter{dir: l.dir, o: l.s.tables}
	var full []byte
	err := l.sorter.Each(func(key, value []byte) error {
		full = append(l.id.appendData(full[:0]), key...)
		return w.set(full, value)
	})
	if err == nil {
		err = w.set(l.id.appendPosition(nil), store.AppendPosition(nil, p))
	}
	return w.paths, errors.Join(err, w.finish())
}

// A tableWriter writes tables one behind the other.
type tableWriter struct {
	dir   loadFiles
	o     sstable.WriterOptions
	w     *sstable.Writer
	paths []string
	bytes int
}

func (w *tableWriter) set(key, value []byte) error {
	if w.w != nil && w.bytes >= loadTableBytes {
		if err := w.finish(); err != nil {
			return err
		}
	}
	if w.w == nil {
		name := w.dir.PathJoin(w.dir.path, fmt.Sprintf("%d.sst", len(w.paths)))
		f, err := w.dir.FS.Create(name, vfs.WriteCategoryUnspecified)
		if err != nil {
			return err
		}
		w.paths = append(w.paths, name)
		w.w, w.bytes = sstable.NewWriter(objstorageprovider.NewFileWritable(f), w.o), 0
	}
	w.bytes += len(key) + len(value)
	return w.w.Set(key, value)
}

// finish completes the present table; it syncs the file.
func (w *tableWriter) finish() error {
	if w.w == nil {
		return nil
	}
	err := w.w.Close()
	w.w = nil
	return err
}

// tableOptions are those of Pebble's own tables.
func tableOptions(db *pebble.DB, o *pebble.Options) sstable.WriterOptions {
	o = o.Clone()
	o.EnsureDefaults()
	return o.MakeWriterOptions(0, db.FormatMajorVersion().MaxTableFormat())
}

// loadFiles is the directory of one load.
type loadFiles struct {
	vfs.FS

	path string
}

var _ bulk.FS = loadFiles{}

// Create implements bulk.FS.
func (d loadFiles) Create(name string) (io.WriteCloser, error) {
	return d.FS.Create(d.PathJoin(d.path, name), vfs.WriteCategoryUnspecified)
}

// Open implements bulk.FS.
func (d loadFiles) Open(name string) (io.ReadCloser, error) {
	return d.FS.Open(d.PathJoin(d.path, name), vfs.SequentialReadsOption)
}

// Remove implements bulk.FS.
func (d loadFiles) Remove(name string) error { return d.FS.Remove(d.PathJoin(d.path, name)) }
