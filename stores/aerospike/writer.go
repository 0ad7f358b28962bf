package aerospike

import (
	"fmt"

	as "github.com/aerospike/aerospike-client-go/v7"
)

// A writer makes the records of one batch in one incarnation.
type writer struct {
	store   *Store
	space   *space
	id      incarnation
	layer   uint32
	seq     uint64
	take    func() uint32
	records []slotWrite
}

// A slotWrite is a record to be written into a slot. What it refers to is the
// batch's; the record is made when its call is, because a client's record
// takes many times as much.
type slotWrite struct {
	writer *writer
	slot   uint32
	meta   meta
	value  []byte // nil for no bin
}

// record makes the client's record and says how many bytes it carries.
func (r *slotWrite) record(p *as.BatchWritePolicy) (as.BatchRecordIfc, int) {
	w, m := r.writer, r.meta.encode()
	ops := append(make([]*as.Operation, 0, 2), as.PutOp(as.NewBin(metaBin, m)))
	if r.value != nil {
		ops = append(ops, as.PutOp(as.NewBin(valueBin, r.value)))
	}
	return as.NewBatchWrite(p, w.store.slotKey(w.space.set, w.id, r.slot), ops...), len(m) + len(r.value)
}

// pieceBytes is how much of a value a record takes; the rest is for the key,
// the list of further slots and what the server adds.
func (s *Store) pieceBytes() int { return s.cfg.RecordBytes / 8 * 7 }

func (s *Store) maxKeyBytes() int { return s.cfg.RecordBytes / 32 }

func (s *Store) maxValueBytes() int { return s.maxKeyBytes() / 5 * s.pieceBytes() }

// entry adds a version of an entry and returns where it is, and where its
// further pieces are.
func (w *writer) entry(key, value []byte) (location, []uint32, error) {
	if n, most := len(key), w.store.maxKeyBytes(); n > most {
		return location{}, nil, fmt.Errorf("aerospike: a key of %d bytes in %s is too long: at most %d (RecordBytes/32)", n, w.space.name, most)
	}
	if n, most := len(value), w.store.maxValueBytes(); n > most {
		return location{}, nil, fmt.Errorf("aerospike: a value of %d bytes in %s is too long: at most %d", n, w.space.name, most)
	}
	w.space.sized(len(value))
	m := meta{kind: kindEntry, seq: w.seq, hash: hashEntry(w.id, w.seq, key, value), key: key}
	slot, piece := w.take(), w.store.pieceBytes()
	rest := value[min(len(value), piece):]
	value = value[:min(len(value), piece):min(len(value), piece)]
	if value == nil {
		value = []byte{}
	}
	for len(rest) > 0 {
		n := min(piece, len(rest))
		m.more = append(m.more, w.take())
		w.add(m.more[len(m.more)-1], meta{kind: kindPiece, seq: w.seq}, rest[:n:n])
		rest = rest[n:]
	}
	w.add(slot, m, value)
	return location{m.hash, slot, w.layer}, m.more, nil
}

// tombstone adds a version that says that the entry is gone.
func (w *writer) tombstone(key []byte) uint32 {
	slot := w.take()
	w.add(slot, meta{kind: kindTombstone, seq: w.seq, key: key}, nil)
	return slot
}

func (w *writer) add(slot uint32, m meta, value []byte) {
	w.records = append(w.records, slotWrite{w, slot, m, value})
}

// writeSlots writes records in as few calls as it can. Until it is used again a slot
// is for one version of one entry, so writing it twice is harmless; those that
// were in doubt might be written once more much later, and are told to doubted
// so that they are not used again.
func (s *Store) writeSlots(records []slotWrite, doubted func(r *slotWrite)) error {
	policy := as.NewBatchWritePolicy()
	policy.RecordExistsAction = as.REPLACE
	policy.Expiration = as.TTLDontExpire
	return s.calls(len(records),
		func(i int) (as.BatchRecordIfc, int) { return records[i].record(policy) },
		func(i int, _ as.BatchRecordIfc, _ outcome, inDoubt bool) {
			if inDoubt {
				doubted(&records[i])
			}
		})
}
