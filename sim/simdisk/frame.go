package simdisk

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"

	"github.com/weirstream/weir/core/store"
)

// A log is a sequence of frames:
//
//	magic     4 bytes
//	length    of the payload, 4 bytes, big endian
//	synced    how much of the log was synced when the frame was written, 8
//	          bytes, big endian
//	checksum  CRC-32C of length, synced and payload, 4 bytes, big endian
//	payload
//
// The payload of a batch is, for each part: the table (length, bytes), the
// partition, flags (1: the space is emptied first, 2: a position follows),
// the position (length, bytes), the number of writes, and each write as
// 0 or 1 for delete or put, key (length, bytes), value (length, bytes).
// Numbers are varints.
const (
	magic      = 0x57e1f00d
	headerSize = 20
)

const (
	flagDrop     = 1
	flagPosition = 2
)

func checksum(b []byte) uint32 { return crc32.Checksum(b, crc32.MakeTable(crc32.Castagnoli)) }

// appendFrame wraps a payload.
func appendFrame(dst, payload []byte, synced int) []byte {
	dst = binary.BigEndian.AppendUint32(dst, magic)
	from := len(dst)
	dst = binary.BigEndian.AppendUint32(dst, uint32(len(payload)))
	dst = binary.BigEndian.AppendUint64(dst, uint64(synced))
	dst = binary.BigEndian.AppendUint32(dst, checksum(dst[from:])^checksum(payload))
	return append(dst, payload...)
}

// nextFrame reads the frame at the begin of b; ok is false when there is no
// whole, intact one.
func nextFrame(b []byte) (payload []byte, synced, size int, ok bool) {
	if len(b) < headerSize || binary.BigEndian.Uint32(b) != magic {
		return nil, 0, 0, false
	}
	n := int(binary.BigEndian.Uint32(b[4:]))
	if n > len(b)-headerSize {
		return nil, 0, 0, false
	}
	payload = b[headerSize : headerSize+n]
	if checksum(b[4:16])^checksum(payload) != binary.BigEndian.Uint32(b[16:]) {
		return nil, 0, 0, false
	}
	return payload, int(binary.BigEndian.Uint64(b[8:])), headerSize + n, true
}

// split cuts a log into payloads. end is where the intact part ends. What is
// behind it was lost by a crash, blocks out of order included, unless damaged
// is set: then a later frame says that the place had been synced before, so
// it was destroyed.
func split(log []byte) (payloads [][]byte, end int, damaged bool) {
	for {
		p, _, size, ok := nextFrame(log[end:])
		if !ok {
			break
		}
		payloads = append(payloads, p)
		end += size
	}
	for at := end + 1; at+headerSize <= len(log); at++ {
		if _, synced, _, ok := nextFrame(log[at:]); ok && synced > end {
			return payloads, end, true
		}
	}
	return payloads, end, false
}

// appendPart encodes the share of one space.
func appendPart(dst []byte, sp store.Space, drop bool, pos store.Position, ops []store.Op) []byte {
	dst = appendBytes(dst, []byte(sp.Table))
	dst = binary.AppendUvarint(dst, uint64(sp.Partition))
	flags := byte(0)
	if drop {
		flags |= flagDrop
	}
	if pos.Exists {
		flags |= flagPosition
	}
	dst = append(dst, flags)
	if pos.Exists {
		dst = appendBytes(dst, store.AppendPosition(nil, pos))
	}
	dst = binary.AppendUvarint(dst, uint64(len(ops)))
	for _, op := range ops {
		if op.Value == nil {
			dst = appendBytes(append(dst, 0), op.Key)
			continue
		}
		dst = appendBytes(appendBytes(append(dst, 1), op.Key), op.Value)
	}
	return dst
}

func appendBytes(dst, b []byte) []byte {
	return append(binary.AppendUvarint(dst, uint64(len(b))), b...)
}

// A part is what appendPart wrote.
type part struct {
	space store.Space
	drop  bool
	pos   store.Position
	ops   []store.Op
}

// decodeParts reads a payload.
func decodeParts(b []byte) (parts []part, err error) {
	d := decoder{rest: b}
	for len(d.rest) > 0 && !d.bad {
		p := part{space: store.Space{Table: string(d.bytes()), Partition: int32(d.uvarint())}}
		flags := d.byte()
		p.drop = flags&flagDrop != 0
		if flags&flagPosition != 0 {
			if p.pos, err = store.DecodePosition(d.bytes()); err != nil {
				return nil, err
			}
		}
		for n := d.uvarint(); n > 0 && !d.bad; n-- {
			op := store.Op{}
			put := d.byte() == 1
			if op.Key = d.bytes(); put {
				op.Value = d.bytes()
			}
			p.ops = append(p.ops, op)
		}
		parts = append(parts, p)
	}
	if d.bad {
		return nil, fmt.Errorf("%w: a log record passes its checksum and makes no sense", store.ErrCorrupt)
	}
	return parts, nil
}

// A decoder reads fields until one does not fit; then bad stays set.
type decoder struct {
	rest []byte
	bad  bool
}

func (d *decoder) uvarint() uint64 {
	v, n := binary.Uvarint(d.rest)
	if n <= 0 {
		d.bad, d.rest = true, nil
		return 0
	}
	d.rest = d.rest[n:]
	return v
}

func (d *decoder) byte() byte {
	if len(d.rest) == 0 {
		d.bad = true
		return 0
	}
	b := d.rest[0]
	d.rest = d.rest[1:]
	return b
}

func (d *decoder) bytes() []byte {
	n := d.uvarint()
	if n > uint64(len(d.rest)) {
		d.bad, d.rest = true, nil
		return nil
	}
	b := d.rest[:n:n]
	d.rest = d.rest[n:]
	if b == nil {
		b = []byte{}
	}
	return b
}
