package bulk

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"

	"github.com/weirstream/weir/core/store"
)

// A run on disk is a sequence of frames, which bytes damaged on the way are
// found by:
//
//	4 bytes length of the entries, 4 bytes CRC-32C of them, big endian;
//	each entry: uvarint length of the key, uvarint length of the value and
//	one more, 0 being a delete, then key and value
const (
	frameHeader = 8
	frameBytes  = 32 << 10
	maxFrame    = 1 << 30 // what is longer is a damaged length
)

func checksum(b []byte) uint32 { return crc32.Checksum(b, crc32.MakeTable(crc32.Castagnoli)) }

// A frameWriter collects entries into frames.
type frameWriter struct {
	w   io.Writer
	buf []byte
}

func (w *frameWriter) add(e entry) error {
	if w.buf == nil {
		w.buf = make([]byte, frameHeader, frameBytes+frameBytes/4)
	}
	w.buf = binary.AppendUvarint(w.buf, uint64(len(e.key)))
	if e.deleted {
		w.buf = append(w.buf, 0)
	} else {
		w.buf = binary.AppendUvarint(w.buf, uint64(len(e.value))+1)
	}
	w.buf = append(append(w.buf, e.key...), e.value...)
	if len(w.buf) >= frameBytes {
		return w.flush()
	}
	return nil
}

func (w *frameWriter) flush() error {
	if len(w.buf) <= frameHeader {
		return nil
	}
	body := w.buf[frameHeader:]
	binary.BigEndian.PutUint32(w.buf, uint32(len(body)))
	binary.BigEndian.PutUint32(w.buf[4:], checksum(body))
	_, err := w.w.Write(w.buf)
	w.buf = w.buf[:frameHeader]
	return err
}

// A frameReader is the source of a file.
type frameReader struct {
	r    io.ReadCloser
	buf  []byte
	rest []byte
}

var errFrame = fmt.Errorf("%w: a sorted run of a restore was damaged on disk", store.ErrCorrupt)

func (r *frameReader) next() (entry, bool, error) {
	if len(r.rest) == 0 {
		if more, err := r.fill(); !more {
			return entry{}, false, err
		}
	}
	key, n := binary.Uvarint(r.rest)
	value, m := binary.Uvarint(r.rest[max(n, 0):])
	if n <= 0 || m <= 0 {
		return entry{}, false, errFrame
	}
	r.rest = r.rest[n+m:]
	e := entry{deleted: value == 0}
	if !e.deleted {
		value--
	}
	size := uint64(len(r.rest))
	if key > size || value > size-key {
		return entry{}, false, errFrame
	}
	e.key, r.rest = r.rest[:key:key], r.rest[key:]
	e.value, r.rest = r.rest[:value:value], r.rest[value:]
	e.prefix = prefix(e.key)
	return e, true, nil
}

// fill reads the next frame.
func (r *frameReader) fill() (bool, error) {
	var h [frameHeader]byte
	if _, err := io.ReadFull(r.r, h[:]); err != nil {
		if errors.Is(err, io.EOF) {
			return false, nil
		}
		return false, err
	}
	n := int(binary.BigEndian.Uint32(h[:]))
	if n > maxFrame {
		return false, errFrame
	}
	if cap(r.buf) < n {
		r.buf = make([]byte, n)
	}
	r.rest = r.buf[:n]
	if _, err := io.ReadFull(r.r, r.rest); err != nil {
		return false, err
	}
	if checksum(r.rest) != binary.BigEndian.Uint32(h[4:]) {
		return false, errFrame
	}
	return true, nil
}
