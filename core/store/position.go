package store

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
)

// positionVersion is the first byte of an encoded position. A reader that
// meets a version it does not know reports ErrCorrupt: the space is rebuilt.
// Version 1, which is still read, has no log.
const positionVersion = 2

// An encoded position is
//
//	version  1 byte
//	log      16 bytes
//	changelog, stream time, at: zigzag varints
//	inputs   uvarint count, then for each: uvarint length of the topic, the
//	         topic, zigzag varints of partition and offset
//	checksum CRC-32C of everything before it, 4 bytes, big endian
const checksumLen = 4

// AppendPosition appends the binary form of p to dst, for adapters that keep
// positions beside data. Exists is not encoded: what was written exists.
func AppendPosition(dst []byte, p Position) []byte {
	from := len(dst)
	dst = append(dst, positionVersion)
	dst = append(dst, p.Log[:]...)
	dst = binary.AppendVarint(dst, p.Changelog)
	dst = binary.AppendVarint(dst, p.StreamTime)
	dst = binary.AppendVarint(dst, p.At)
	dst = binary.AppendUvarint(dst, uint64(len(p.Inputs)))
	for _, in := range p.Inputs {
		dst = binary.AppendUvarint(dst, uint64(len(in.Topic)))
		dst = append(dst, in.Topic...)
		dst = binary.AppendVarint(dst, int64(in.Partition))
		dst = binary.AppendVarint(dst, in.Offset)
	}
	return binary.BigEndian.AppendUint32(dst, checksum(dst[from:]))
}

// DecodePosition reads what AppendPosition wrote. It fails with ErrCorrupt
// when b is anything else, and keeps no part of b.
func DecodePosition(b []byte) (Position, error) {
	if len(b) < 1+checksumLen {
		return Position{}, fmt.Errorf("%w: position of %d bytes is too short", ErrCorrupt, len(b))
	}
	body, sum := b[:len(b)-checksumLen], binary.BigEndian.Uint32(b[len(b)-checksumLen:])
	if checksum(body) != sum {
		return Position{}, fmt.Errorf("%w: position fails its checksum", ErrCorrupt)
	}
	if body[0] < 1 || body[0] > positionVersion {
		return Position{}, fmt.Errorf("%w: position has version %d, this build reads 1 to %d", ErrCorrupt, body[0], positionVersion)
	}
	d := decoder{rest: body[1:]}
	p := Position{Exists: true}
	if body[0] > 1 {
		p.Log = d.logID()
	}
	p.Changelog, p.StreamTime, p.At = d.varint(), d.varint(), d.varint()
	for n := d.uvarint(); n > 0 && !d.bad; n-- {
		p.Inputs = append(p.Inputs, InputOffset{Topic: d.text(), Partition: d.int32(), Offset: d.varint()})
	}
	if d.bad || len(d.rest) > 0 {
		return Position{}, fmt.Errorf("%w: position is malformed", ErrCorrupt)
	}
	return p, nil
}

func checksum(b []byte) uint32 { return crc32.Checksum(b, crc32.MakeTable(crc32.Castagnoli)) }

// A decoder reads fields until one does not fit; then bad stays set.
type decoder struct {
	rest []byte
	bad  bool
}

func (d *decoder) varint() int64 {
	v, n := binary.Varint(d.rest)
	d.skip(n)
	return v
}

func (d *decoder) uvarint() uint64 {
	v, n := binary.Uvarint(d.rest)
	d.skip(n)
	return v
}

func (d *decoder) skip(n int) {
	if n <= 0 {
		d.bad, d.rest = true, nil
		return
	}
	d.rest = d.rest[n:]
}

func (d *decoder) logID() (id LogID) {
	if copy(id[:], d.rest) < len(id) {
		d.bad, d.rest = true, nil
		return LogID{}
	}
	d.rest = d.rest[len(id):]
	return id
}

func (d *decoder) int32() int32 {
	v := d.varint()
	if v != int64(int32(v)) {
		d.bad = true
	}
	return int32(v)
}

func (d *decoder) text() string {
	n := d.uvarint()
	if n > uint64(len(d.rest)) {
		d.bad = true
		return ""
	}
	s := string(d.rest[:n])
	d.rest = d.rest[n:]
	return s
}
