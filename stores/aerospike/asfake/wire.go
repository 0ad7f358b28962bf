package asfake

import (
	"bytes"
	"compress/zlib"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// Types of frames.
const (
	frameInfo       = 1
	frameAdmin      = 2
	frameMessage    = 3
	frameCompressed = 4

	frameVersion  = 2
	frameHeader   = 8
	messageHeader = 22
	maxFrame      = 128 << 20
)

// Bits of the three info bytes of a message.
const (
	info1Read   = 1 << 0
	info1All    = 1 << 1
	info1Batch  = 1 << 3
	info1NoBins = 1 << 5

	info2Write         = 1 << 0
	info2Delete        = 1 << 1
	info2Generation    = 1 << 2
	info2GenerationGT  = 1 << 3
	info2DurableDelete = 1 << 4
	info2CreateOnly    = 1 << 5
	info2RespondAll    = 1 << 7

	info3Last            = 1 << 0
	info3UpdateOnly      = 1 << 3
	info3CreateOrReplace = 1 << 4
	info3ReplaceOnly     = 1 << 5
)

// Fields of a message.
const (
	fieldNamespace    = 0
	fieldSet          = 1
	fieldKey          = 2
	fieldDigest       = 4
	fieldBatchOperate = 41
	fieldBatchGet     = 42
	fieldFilter       = 43
)

// Operations on bins.
const (
	opRead    = 1
	opWrite   = 2
	opAdd     = 5
	opAppend  = 9
	opPrepend = 10
	opTouch   = 11
	opDelete  = 14
)

// Types of values.
const (
	typeNull   = 0
	typeInt    = 1
	typeString = 3
	typeBlob   = 4
)

var errMalformed = errors.New("asfake: malformed message")

// readFrame reads one frame and unpacks a compressed one.
func readFrame(r io.Reader) (kind byte, body []byte, err error) {
	var head [frameHeader]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return 0, nil, err
	}
	kind, size := head[1], binary.BigEndian.Uint64(head[:])&0xffffffffffff
	if size > maxFrame {
		return 0, nil, fmt.Errorf("%w: %d bytes", errMalformed, size)
	}
	body = make([]byte, size)
	if _, err := io.ReadFull(r, body); err != nil {
		return 0, nil, err
	}
	if kind != frameCompressed {
		return kind, body, nil
	}
	return inflate(body)
}

// inflate unpacks a compressed frame: the size of what is inside, then a
// whole frame.
func inflate(body []byte) (kind byte, inner []byte, err error) {
	if len(body) < 8 {
		return 0, nil, errMalformed
	}
	z, err := zlib.NewReader(bytes.NewReader(body[8:]))
	if err != nil {
		return 0, nil, fmt.Errorf("%w: %w", errMalformed, err)
	}
	defer func() { _ = z.Close() }()
	kind, inner, err = readFrame(io.LimitReader(z, maxFrame))
	if err == nil && kind == frameCompressed {
		err = errMalformed
	}
	return kind, inner, err
}

// appendFrame appends a frame around body.
func appendFrame(dst []byte, kind byte, body []byte) []byte {
	dst = binary.BigEndian.AppendUint64(dst, uint64(len(body))|uint64(frameVersion)<<56|uint64(kind)<<48)
	return append(dst, body...)
}

// A cursor reads fields until one does not fit; then bad stays set.
type cursor struct {
	rest []byte
	bad  bool
}

func (c *cursor) take(n int) []byte {
	if n < 0 || n > len(c.rest) {
		c.bad, c.rest = true, nil
		return make([]byte, max(0, min(n, 64)))
	}
	b := c.rest[:n]
	c.rest = c.rest[n:]
	return b
}

func (c *cursor) u8() byte    { return c.take(1)[0] }
func (c *cursor) u16() uint16 { return binary.BigEndian.Uint16(c.take(2)) }
func (c *cursor) u32() uint32 { return binary.BigEndian.Uint32(c.take(4)) }

// A value is what a bin holds: its type and its bytes.
type value struct {
	kind byte
	data string
}

// An operation reads or changes a bin.
type operation struct {
	op    byte
	bin   string
	value value
}

// A digest names a record.
type digest [20]byte

// A message is one request about one record.
type message struct {
	info1, info2, info3 byte
	generation, ttl     uint32
	namespace, set      string
	digest              digest
	unsupported         bool // a field that the fake does not know
	filter              bool // an expression, which the fake cannot judge
	ops                 []operation
	batch               []entry // set instead of the digest
}

// An entry is a message within a batch.
type entry struct {
	message

	index uint32
}

func decodeMessage(body []byte) (*message, error) {
	c := &cursor{rest: body}
	m := new(message)
	header := &cursor{rest: c.take(messageHeader)}
	header.u8()
	m.info1, m.info2, m.info3 = header.u8(), header.u8(), header.u8()
	header.take(2)
	m.generation, m.ttl = header.u32(), header.u32()
	header.u32() // how long the client waits
	fields, ops := int(header.u16()), int(header.u16())
	m.fields(c, fields)
	m.operations(c, ops)
	if c.bad || header.bad {
		return nil, errMalformed
	}
	return m, nil
}

func (m *message) fields(c *cursor, n int) {
	for ; n > 0 && !c.bad; n-- {
		size := int(c.u32())
		kind := c.u8()
		data := c.take(size - 1)
		switch kind {
		case fieldNamespace:
			m.namespace = string(data)
		case fieldSet:
			m.set = string(data)
		case fieldDigest:
			copy(m.digest[:], data)
		case fieldKey:
		case fieldBatchOperate, fieldBatchGet:
			b := &cursor{rest: data}
			m.batch = decodeBatch(b)
			c.bad = c.bad || b.bad
		case fieldFilter:
			m.filter = true
		default: // scans, queries, functions
			m.unsupported = true
		}
	}
}

func (m *message) operations(c *cursor, n int) {
	for ; n > 0 && !c.bad; n-- {
		size := int(c.u32())
		op, kind := c.u8(), c.u8()
		c.u8()
		name := string(c.take(int(c.u8())))
		m.ops = append(m.ops, operation{op, name, value{kind, string(c.take(size - 4 - len(name)))}})
	}
}

// Kinds of entries of a batch.
const (
	entryRead       = 0
	entryRepeat     = 1
	entryInfo       = 2
	entryGeneration = 4
	entryTTL        = 8
)

func decodeBatch(c *cursor) []entry {
	n := int(c.u32())
	c.u8() // flags
	var entries []entry
	for ; n > 0 && !c.bad; n-- {
		e := entry{index: c.u32()}
		d := digest(c.take(len(digest{})))
		if kind := c.u8(); kind == entryRepeat && len(entries) > 0 {
			e.message = entries[len(entries)-1].message
		} else {
			e.decode(c, kind)
		}
		e.digest = d
		entries = append(entries, e)
	}
	return entries
}

func (e *entry) decode(c *cursor, kind byte) {
	if kind == entryRead {
		e.info1 = c.u8()
	}
	if kind&entryInfo != 0 {
		e.info1, e.info2, e.info3 = c.u8(), c.u8(), c.u8()
	}
	if kind&entryGeneration != 0 {
		e.generation = uint32(c.u16())
	}
	if kind&entryTTL != 0 {
		e.ttl = c.u32()
	}
	fields, ops := int(c.u16()), int(c.u16())
	e.fields(c, fields)
	e.operations(c, ops)
}

// A reply answers one message.
type reply struct {
	code       Code
	generation uint32
	expires    uint32 // seconds since 2010, 0 for never
	bins       []binValue
}

type binValue struct {
	name string
	value
}

// append adds the reply without a frame. tag is 0, or the index in a batch.
func (r *reply) append(dst []byte, tag uint32, info3 byte) []byte {
	dst = append(dst, messageHeader, 0, 0, info3, 0, byte(r.code))
	dst = binary.BigEndian.AppendUint32(dst, r.generation)
	dst = binary.BigEndian.AppendUint32(dst, r.expires)
	dst = binary.BigEndian.AppendUint32(dst, tag)
	dst = binary.BigEndian.AppendUint16(dst, 0)
	dst = binary.BigEndian.AppendUint16(dst, uint16(len(r.bins)))
	for _, b := range r.bins {
		dst = binary.BigEndian.AppendUint32(dst, uint32(4+len(b.name)+len(b.data)))
		dst = append(dst, opRead, b.kind, 0, byte(len(b.name)))
		dst = append(append(dst, b.name...), b.data...)
	}
	return dst
}
