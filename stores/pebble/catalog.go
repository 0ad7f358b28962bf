package pebble

import (
	"encoding/binary"
	"fmt"
	"math"

	"github.com/cockroachdb/pebble/v2"

	"github.com/weirstream/weir/core/store"
)

// Keys on disk begin with four bytes, big endian:
//
//	0       the catalog: 'f' holds the version of this layout,
//	        's' partition table holds the number of a space
//	n even  the entries of space n, the user's key following
//	n + 1   the position of space n, nothing following
//
// Numbers keep keys short and are never used twice. All of a space is one
// range, so that dropping it is one tombstone.
const (
	layout    = 1
	catalogID = 0
	firstID   = 2
	idLen     = 4
	formatAt  = "\x00\x00\x00\x00f"
	spacesAt  = "\x00\x00\x00\x00s"
	spacesTo  = "\x00\x00\x00\x00t"
)

type spaceID uint32

func (id spaceID) appendData(dst []byte) []byte {
	return binary.BigEndian.AppendUint32(dst, uint32(id))
}

func (id spaceID) appendPosition(dst []byte) []byte {
	return binary.BigEndian.AppendUint32(dst, uint32(id)+1)
}

// appendEnd appends the first key behind the space, position included.
func (id spaceID) appendEnd(dst []byte) []byte {
	return binary.BigEndian.AppendUint32(dst, uint32(id)+2)
}

func catalogKey(sp store.Space) []byte {
	k := binary.BigEndian.AppendUint32([]byte(spacesAt), uint32(sp.Partition))
	return append(k, sp.Table...)
}

// A catalog knows the numbers of spaces.
type catalog struct {
	ids  map[store.Space]spaceID
	next spaceID
}

// loadCatalog reads the catalog, or begins one in an empty store.
func loadCatalog(db *pebble.DB) (*catalog, error) {
	if err := checkLayout(db); err != nil {
		return nil, err
	}
	c := &catalog{ids: make(map[store.Space]spaceID), next: firstID}
	it, err := db.NewIter(&pebble.IterOptions{LowerBound: []byte(spacesAt), UpperBound: []byte(spacesTo)})
	if err != nil {
		return nil, err
	}
	defer func() { _ = it.Close() }()
	for ok := it.First(); ok; ok = it.Next() {
		k, v := it.Key()[len(spacesAt):], it.Value()
		if len(k) < 4 || len(v) != idLen {
			return nil, fmt.Errorf("%w: the catalog has a malformed entry %q", store.ErrCorrupt, it.Key())
		}
		id := spaceID(binary.BigEndian.Uint32(v))
		c.ids[store.Space{Table: string(k[4:]), Partition: int32(binary.BigEndian.Uint32(k))}] = id
		c.next = max(c.next, id+2)
	}
	return c, it.Error()
}

func checkLayout(db *pebble.DB) error {
	v, closer, err := db.Get([]byte(formatAt))
	if err == nil {
		defer func() { _ = closer.Close() }()
		if len(v) != 1 || v[0] != layout {
			return fmt.Errorf("pebble: the store was written in layout %x, this build knows layout %d: use the build that wrote it, or remove the directory to rebuild from changelogs", v, layout)
		}
		return nil
	}
	if err != pebble.ErrNotFound { //nolint:errorlint // Pebble returns it bare, and wraps nothing in it.
		return err
	}
	return db.Set([]byte(formatAt), []byte{layout}, pebble.Sync)
}

// id returns the number of a space, giving it one when it is new.
func (c *catalog) id(db *pebble.DB, sp store.Space) (spaceID, error) {
	if id, ok := c.ids[sp]; ok {
		return id, nil
	}
	if c.next >= math.MaxUint32-2 {
		return 0, fmt.Errorf("pebble: out of numbers for spaces: remove the directory to rebuild from changelogs")
	}
	id := c.next
	if err := db.Set(catalogKey(sp), id.appendData(nil), pebble.Sync); err != nil {
		return 0, err
	}
	c.ids[sp] = id
	c.next += 2
	return id, nil
}
