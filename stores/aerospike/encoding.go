package aerospike

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"

	"github.com/weirstream/weir/core/store"
)

// What is written into bins is versioned and ends with a CRC-32C. A decoder
// that meets anything else reports store.ErrCorrupt.
const (
	formatVersion = 1
	checksumLen   = 4
)

func checksum(b []byte) uint32 { return crc32.Checksum(b, crc32.MakeTable(crc32.Castagnoli)) }

// finish ends an encoding.
func finish(b []byte) []byte { return binary.BigEndian.AppendUint32(b, checksum(b)) }

// A decoder reads fields until one does not fit; then bad stays set.
type decoder struct {
	rest []byte
	bad  bool
}

// begin starts to read an encoding: it checks the end and the version.
func begin(b []byte) decoder {
	if len(b) < 1+checksumLen {
		return decoder{bad: true}
	}
	body, sum := b[:len(b)-checksumLen], binary.BigEndian.Uint32(b[len(b)-checksumLen:])
	if checksum(body) != sum || body[0] != formatVersion {
		return decoder{bad: true}
	}
	return decoder{rest: body[1:]}
}

// done says whether all was read and made sense.
func (d *decoder) done(what string) error {
	if d.bad || len(d.rest) > 0 {
		return fmt.Errorf("%w: %s does not make sense", store.ErrCorrupt, what)
	}
	return nil
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

func (d *decoder) uint32() uint32 {
	v := d.uvarint()
	if v > 1<<32-1 {
		d.bad = true
	}
	return uint32(v)
}

func (d *decoder) fixed64() uint64 {
	b := d.take(8)
	if b == nil {
		return 0
	}
	return binary.BigEndian.Uint64(b)
}

func (d *decoder) take(n uint64) []byte {
	if n > uint64(len(d.rest)) {
		d.bad, d.rest = true, nil
		return nil
	}
	b := d.rest[:n]
	d.rest = d.rest[n:]
	return b
}

func (d *decoder) bytes() []byte { return d.take(d.uvarint()) }

// count reads how many elements follow, each at least one byte.
func (d *decoder) count() int {
	n := d.uvarint()
	if n > uint64(len(d.rest)) {
		d.bad = true
		return 0
	}
	return int(n)
}

func appendBytes(dst, b []byte) []byte {
	return append(binary.AppendUvarint(dst, uint64(len(b))), b...)
}
