package rocksdb

import (
	"encoding/binary"
	"fmt"
	"math"

	"github.com/linxGnu/grocksdb"

	"github.com/weirstream/weir/core/store"
)

// Keys on disk begin with four bytes, big endian: 0 for the catalog, an even
// number for the entries of a space, and the next odd one for its position.
// Numbers keep keys short and are never used twice. All of a space is one
// range, so that dropping it is one tombstone.
const (
	layout   = 1
	firstID  = 2
	idLen    = 4
	formatAt = "\x00\x00\x00\x00f"
	spacesAt = "\x00\x00\x00\x00s"
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

// A catalog knows the numbers of spaces.
type catalog struct {
	ids  map[store.Space]spaceID
	next spaceID
}

// loadCatalog reads the catalog, or begins one in an empty store.
func loadCatalog(e *engine) (*catalog, error) {
	if err := checkLayout(e); err != nil {
		return nil, err
	}
	c := &catalog{ids: make(map[store.Space]spaceID), next: firstID}
	it := e.db.NewIterator(e.scan)
	defer it.Close()
	prefix := []byte(spacesAt)
	for it.Seek(prefix); it.ValidForPrefix(prefix); it.Next() {
		k, v := it.Key(), it.Value()
		name, id := k.Data()[len(prefix):], v.Data()
		if len(name) < 4 || len(id) != idLen {
			k.Free()
			v.Free()
			return nil, fmt.Errorf("%w: %w", store.ErrCorrupt, errMalformed)
		}
		n := spaceID(binary.BigEndian.Uint32(id))
		c.ids[store.Space{Table: string(name[4:]), Partition: int32(binary.BigEndian.Uint32(name))}] = n
		c.next = max(c.next, n+2)
		k.Free()
		v.Free()
	}
	return c, it.Err()
}

func checkLayout(e *engine) error {
	v, err := e.db.Get(e.read, []byte(formatAt))
	if err != nil {
		return err
	}
	defer v.Free()
	if !v.Exists() {
		return e.put([]byte(formatAt), []byte{layout})
	}
	if d := v.Data(); len(d) != 1 || d[0] != layout {
		return fmt.Errorf("the store was written in layout %x, this build knows layout %d: use the build that wrote it, or remove the directory to rebuild from changelogs", d, layout)
	}
	return nil
}

// put writes one key and syncs it: what is built on it must find it.
func (e *engine) put(key, value []byte) error {
	w := grocksdb.NewDefaultWriteOptions()
	defer w.Destroy()
	w.SetSync(true)
	return e.db.Put(w, key, value)
}

// id returns the number of a space, giving it one when it is new.
func (c *catalog) id(e *engine, sp store.Space) (spaceID, error) {
	if id, ok := c.ids[sp]; ok {
		return id, nil
	}
	if c.next >= math.MaxUint32-2 {
		return 0, fmt.Errorf("out of numbers for spaces: remove the directory to rebuild from changelogs")
	}
	key := binary.BigEndian.AppendUint32([]byte(spacesAt), uint32(sp.Partition))
	if err := e.put(append(key, sp.Table...), c.next.appendData(nil)); err != nil {
		return 0, err
	}
	id := c.next
	c.ids[sp] = id
	c.next += 2
	return id, nil
}
