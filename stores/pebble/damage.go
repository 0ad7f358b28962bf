package pebble

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"sync"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/sstable"

	"github.com/weirstream/weir/core/store"
)

// damage is the tables of which Pebble said that they cannot be read, whether
// a read or a compaction met it.
type damage struct {
	healing sync.Mutex // held while what was found is cut out

	mu    sync.Mutex
	files []string
	found chan struct{} // of one: there are some
}

// add notes a table. It does not wait: Pebble may hold its own locks.
func (d *damage) add(path string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if !slices.Contains(d.files, path) {
		d.files = append(d.files, path)
	}
	select {
	case d.found <- struct{}{}:
	default:
	}
}

func (d *damage) take() []string {
	d.mu.Lock()
	defer d.mu.Unlock()
	files := d.files
	d.files = nil
	return files
}

// watch cuts damage out as it is found: compactions that meet it fail again
// and again, and what is written would pile up before them.
func (s *Store) watch() {
	defer s.watching.Done()
	for {
		select {
		case <-s.damage.found:
			s.heal()
		case <-s.done:
			return
		}
	}
}

// heal cuts out all damage that is known, and waits for who is at it.
func (s *Store) heal() {
	s.damage.healing.Lock()
	defer s.damage.healing.Unlock()
	files := s.damage.take()
	if len(files) == 0 {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, path := range files {
		if s.usable() != nil {
			return
		}
		if err := s.cut(path); err != nil {
			// Whoever meets it next says so again.
			s.disk.log.Error("damaged data could not be cut out of the store", "file", path, "error", err)
		}
		s.stall.changed()
	}
}

// cut removes every space that a damaged table makes unreadable: its entries
// and its position, wherever they are. Their owners are told with the next
// thing they do.
func (s *Store) cut(path string) error {
	all, err := s.live(path)
	if err != nil || all.none() {
		return err
	}
	struck, all := s.struck(path, all)
	err = s.excise(struck)
	if err != nil && struck != all {
		// The table is damaged at the edge of what was to be cut, too.
		err = errors.Join(err, s.excise(all))
	}
	return err
}

// A stretch is spaces that lie side by side on disk, from one to another.
type stretch struct{ first, last spaceID }

var noStretch = stretch{math.MaxUint32, 0}

func (c stretch) none() bool { return c.first > c.last }

func (c stretch) with(id spaceID) stretch { return stretch{min(c.first, id), max(c.last, id)} }

// live returns the spaces for which a table is still in use, the catalog
// among them.
func (s *Store) live(path string) (stretch, error) {
	var number uint64
	base := path[strings.LastIndexAny(path, `/\`)+1:]
	if _, err := fmt.Sscanf(base, "%d.sst", &number); err != nil {
		return noStretch, fmt.Errorf("%w: %s: %w", store.ErrCorrupt, path, err)
	}
	levels, err := s.db.SSTables()
	if err != nil {
		return noStretch, err
	}
	all := noStretch
	for _, t := range slices.Concat(levels...) {
		if uint64(t.BackingSSTNum) != number {
			continue
		}
		last := spaceOf(t.Largest.UserKey)
		if t.Largest.IsExclusiveSentinel() && len(t.Largest.UserKey) == idLen {
			last -= 2 // the end of a dropped space
		}
		all = all.with(spaceOf(t.Smallest.UserKey)).with(last)
	}
	return all, nil
}

func spaceOf(key []byte) spaceID { return spaceID(binary.BigEndian.Uint32(key)) &^ 1 }

// struck returns those of the spaces of a table that cannot be read, and what
// lies between them, and what to cut out if that does not do. Where no entry is
// damaged it is the table as a whole.
func (s *Store) struck(path string, all stretch) (some, most stretch) {
	r, err := s.openTable(path)
	if err != nil {
		return all, all
	}
	defer func() { _ = r.Close() }()
	if all.first == catalogID && reads(r, catalogID) {
		all.first = firstID
	}
	some = noStretch
	for id := all.first; id <= all.last; id += 2 {
		if !reads(r, id) {
			some = some.with(id)
		}
	}
	if some.none() {
		some = all
	}
	return some, all
}

func (s *Store) openTable(path string) (*sstable.Reader, error) {
	f, err := s.disk.Open(path)
	if err != nil {
		return nil, err
	}
	readable, err := sstable.NewSimpleReadable(f)
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return sstable.NewReader(context.Background(), readable, s.options.MakeReaderOptions())
}

// reads reports whether all that a table has of a space can be read.
func reads(r *sstable.Reader, id spaceID) bool {
	from, to := id.appendData(nil), id.appendEnd(nil)
	it, err := r.NewIter(sstable.NoTransforms, from, to, sstable.AssertNoBlobHandles)
	if err != nil {
		return false
	}
	kv := it.SeekGE(from, 0)
	for kv != nil {
		kv = it.Next()
	}
	return errors.Join(it.Error(), it.Close()) == nil
}

// excise cuts spaces out of all tables, unread, and leaves word for their
// owners.
func (s *Store) excise(c stretch) error {
	if c.first == catalogID {
		err := fmt.Errorf("%w: the catalog cannot be read: remove the directory, its tables are rebuilt from changelogs", store.ErrCorrupt)
		s.disk.fail(err)
		return err
	}
	var names []string
	for sp, id := range s.catalog.ids {
		if id < c.first || id > c.last {
			continue
		}
		names = append(names, sp.String())
		if r := s.readers[sp]; r != nil {
			r.lose()
		}
	}
	// With entries in a memtable Pebble would cut out later, behind reads.
	if err := s.db.Flush(); err != nil {
		return err
	}
	err := s.db.Excise(context.Background(), pebble.KeyRange{Start: c.first.appendData(nil), End: c.last.appendEnd(nil)})
	if err == nil {
		slices.Sort(names)
		s.disk.log.Error("damaged data was cut out of the store, changelogs rebuild it", "spaces", names)
	}
	return errors.Join(err, s.disk.err())
}
