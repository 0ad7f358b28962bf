package rocksdb

import (
	"encoding/binary"

	"github.com/linxGnu/grocksdb"

	"github.com/weirstream/weir/core/store"
)

// A batch is a RocksDB write batch in its own format, made in Go: a call of C
// for each entry would cost more than the entry.
//
//	8 bytes sequence number (set by RocksDB), 4 bytes count, little endian;
//	each entry: 1 byte kind, varint length and key, and for a put varint
//	length and value (db/write_batch.cc)
type batch struct {
	rep   []byte
	count uint32
	key   []byte
}

const (
	batchHeader = 12
	kindDelete  = 0
	kindPut     = 1
)

func (b *batch) reset() {
	b.rep = append(b.rep[:0], make([]byte, batchHeader)...)
	b.count = 0
}

func (b *batch) put(prefix spaceID, key, value []byte) {
	b.rep = append(b.rep, kindPut)
	b.appendKey(prefix, key)
	b.rep = binary.AppendUvarint(b.rep, uint64(len(value)))
	b.rep = append(b.rep, value...)
	b.count++
}

func (b *batch) delete(prefix spaceID, key []byte) {
	b.rep = append(b.rep, kindDelete)
	b.appendKey(prefix, key)
	b.count++
}

func (b *batch) appendKey(prefix spaceID, key []byte) {
	b.rep = binary.AppendUvarint(b.rep, uint64(idLen+len(key)))
	b.rep = prefix.appendData(b.rep)
	b.rep = append(b.rep, key...)
}

// part adds one space with its position.
func (b *batch) part(id spaceID, p *store.Part) {
	for i := range p.Ops {
		if p.Ops[i].Value == nil {
			b.delete(id, p.Ops[i].Key)
		} else {
			b.put(id, p.Ops[i].Key, p.Ops[i].Value)
		}
	}
	if p.Position.Exists {
		b.key = store.AppendPosition(b.key[:0], p.Position)
		b.put(id+1, nil, b.key)
	}
}

// write hands the batch to RocksDB, which copies it.
func (b *batch) write(e *engine) error {
	binary.LittleEndian.PutUint32(b.rep[8:], b.count)
	wb := grocksdb.WriteBatchFrom(b.rep)
	defer wb.Destroy()
	return e.db.Write(e.write, wb)
}
