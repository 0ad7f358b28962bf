package pebble

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
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
	live, whole, err := s.live(path)
	if err != nil {
		return err
	}
	struck, live := s.struck(path, live)
	if len(struck) == 0 && whole {
		struck = live // what is damaged is no entry, but the table as such
	}
	for _, c := range struck {
		err = errors.Join(err, s.excise(c))
	}
	if err == nil || s.usable() != nil {
		return err
	}
	// The table is damaged at the edge of what was to be cut, too.
	err = nil
	for _, c := range live {
		err = errors.Join(err, s.excise(c))
	}
	return err
}

// A stretch is spaces that lie side by side on disk, from one to another.
type stretch struct{ first, last spaceID }

// live returns the spaces for which a table is still in use, the catalog
// among them, and whether that is all of it: word of damage that was cut out
// already may come late.
func (s *Store) live(path string) (live []stretch, whole bool, err error) {
	var number uint64
	base := path[strings.LastIndexAny(path, `/\`)+1:]
	if _, err := fmt.Sscanf(base, "%d.sst", &number); err != nil {
		return nil, false, fmt.Errorf("%w: %s: %w", store.ErrCorrupt, path, err)
	}
	levels, err := s.db.SSTables()
	for _, t := range slices.Concat(levels...) {
		if uint64(t.BackingSSTNum) != number {
			continue
		}
		c := stretch{spaceOf(t.Smallest.UserKey), spaceOf(t.Largest.UserKey)}
		if t.Largest.IsExclusiveSentinel() && len(t.Largest.UserKey) == idLen && c.last > c.first {
			c.last -= 2 // the end of a dropped space
		}
		live, whole = append(live, c), !t.Virtual
	}
	return live, whole, err
}

func spaceOf(key []byte) spaceID { return spaceID(binary.BigEndian.Uint32(key)) &^ 1 }

// struck returns those of the spaces of a table that cannot be read, with what
// lies between them, and all of the table that may be cut out: the catalog only
// when it cannot be read.
func (s *Store) struck(path string, live []stretch) (struck, most []stretch) {
	r, err := s.openTable(path)
	if err != nil {
		return live, live
	}
	defer func() { _ = r.Close() }()
	for _, c := range live {
		if c.first == catalogID && reads(r, catalogID) {
			c.first = firstID
		}
		if c.first > c.last {
			continue
		}
		most = append(most, c)
		var bad []spaceID
		for id := c.first; id <= c.last; id += 2 {
			if !reads(r, id) {
				bad = append(bad, id)
			}
		}
		if len(bad) > 0 {
			struck = append(struck, stretch{bad[0], bad[len(bad)-1]})
		}
	}
	return struck, most
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
