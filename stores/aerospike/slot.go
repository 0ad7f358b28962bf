package aerospike

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"strings"

	as "github.com/aerospike/aerospike-client-go/v7"
	"github.com/cespare/xxhash/v2"

	"github.com/weirstream/weir/core/store"
)

// Bins: all but the bytes of a value is in one.
const (
	metaBin  = "m"
	valueBin = "v"
)

// Keys of records begin with what they are.
const (
	keySlot  = 'd' // incarnation, slot
	keyHead  = 'h' // incarnation
	keyOwner = 'o' // partition, table
	keyTxn   = 't' // txnID
)

const maxSet = 63

// setName is the set of a table: readable when it can be.
func setName(prefix, table string) string {
	name := prefix + "." + table
	if len(name) <= maxSet && strings.IndexFunc(strings.ReplaceAll(table, ".", ""), notInName) < 0 {
		return name
	}
	sum := sha256.Sum256([]byte(table))
	return prefix + "." + hex.EncodeToString(sum[:12])
}

func (s *Store) key(set string, key []byte) *as.Key {
	k, err := as.NewKey(s.cfg.Namespace, set, key)
	if err != nil {
		// Bytes are keys.
		panic("aerospike: a key of bytes was refused: " + err.Error())
	}
	return k
}

func (s *Store) slotKey(set string, id incarnation, slot uint32) *as.Key {
	b := binary.BigEndian.AppendUint64([]byte{keySlot}, uint64(id))
	return s.key(set, binary.BigEndian.AppendUint32(b, slot))
}

func (s *Store) headKey(set string, id incarnation) *as.Key {
	return s.key(set, binary.BigEndian.AppendUint64([]byte{keyHead}, uint64(id)))
}

func (s *Store) ownerKey(set string, sp store.Space) *as.Key {
	b := binary.BigEndian.AppendUint32([]byte{keyOwner}, uint32(sp.Partition))
	return s.key(set, append(b, sp.Table...))
}

func (s *Store) txnKey(id txnID) *as.Key {
	return s.key(s.cfg.Prefix, append([]byte{keyTxn}, id[:]...))
}

// Kinds of slots.
const (
	kindEntry     = 1
	kindTombstone = 2
	kindPiece     = 3 // a further piece of a value
)

// A meta is what a slot holds beside the bytes of the value. The value of an
// entry is in its own slot and, when it is long, goes on in more.
type meta struct {
	kind byte
	seq  uint64
	hash uint64
	more []uint32
	key  []byte
}

func (m *meta) encode() []byte {
	b := make([]byte, 0, 1+1+10+8+2+5*len(m.more)+3+len(m.key)+checksumLen)
	b = append(b, formatVersion, m.kind)
	b = binary.AppendUvarint(b, m.seq)
	b = binary.BigEndian.AppendUint64(b, m.hash)
	b = binary.AppendUvarint(b, uint64(len(m.more)))
	for _, slot := range m.more {
		b = binary.AppendUvarint(b, uint64(slot))
	}
	return finish(append(b, m.key...))
}

// decodeMeta keeps parts of b.
func decodeMeta(b []byte) (meta, error) {
	d := begin(b)
	var m meta
	if k := d.take(1); k != nil {
		m.kind = k[0]
	}
	m.seq, m.hash = d.uvarint(), d.fixed64()
	for n := d.count(); n > 0 && !d.bad; n-- {
		m.more = append(m.more, d.uint32())
	}
	m.key, d.rest = d.rest, nil
	d.bad = d.bad || m.kind < kindEntry || m.kind > kindPiece
	return m, d.done("a record")
}

// hashEntry covers everything that is one version of one entry, so that equal
// hashes mean: this version, undamaged.
func hashEntry(id incarnation, seq uint64, key, value []byte) uint64 {
	var h xxhash.Digest
	h.Reset()
	var head [24]byte
	binary.BigEndian.PutUint64(head[:], uint64(id))
	binary.BigEndian.PutUint64(head[8:], seq)
	binary.BigEndian.PutUint64(head[16:], uint64(len(key)))
	_, _ = h.Write(head[:])
	_, _ = h.Write(key)
	_, _ = h.Write(value)
	return h.Sum64()
}
