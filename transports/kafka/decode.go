package kafka

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"math"
	"slices"
	"unsafe"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/weirstream/weir/core/record"
)

// The layout of a record batch of magic 2 (KIP-98).
const (
	atFirstOffset     = 0
	atLength          = 8
	atMagic           = 16
	atCRC             = 17
	atAttributes      = 21
	atLastOffsetDelta = 23
	atFirstTimestamp  = 27
	atMaxTimestamp    = 35
	atProducerID      = 43
	atCount           = 57
	atRecords         = 61

	attrCompression = 0x07
	attrLogAppend   = 0x08
	attrTxn         = 0x10
	attrControl     = 0x20
)

var (
	errCorrupt = errors.New("corrupt record batch")
	castagnoli = crc32.MakeTable(crc32.Castagnoli)
)

// decoder turns the answer for one partition into records. It is used by one
// goroutine.
type decoder struct {
	decompressor kgo.Decompressor
}

// decoded is what an answer held: the committed records from the position on,
// and the offset after everything it held, control records, aborted ones and
// batches that compaction emptied included.
type decoded struct {
	records []record.Record
	next    int64
	bytes   int
}

// batch is a complete record batch.
type batch []byte

func (b batch) i64(at int) int64  { return int64(binary.BigEndian.Uint64(b[at:])) }
func (b batch) i32(at int) int32  { return int32(binary.BigEndian.Uint32(b[at:])) }
func (b batch) attributes() int16 { return int16(binary.BigEndian.Uint16(b[atAttributes:])) }
func (b batch) first() int64      { return b.i64(atFirstOffset) }
func (b batch) last() int64       { return b.first() + int64(b.i32(atLastOffsetDelta)) }

// split cuts an answer into its batches. The last one may be cut off, which
// is how brokers honour size limits. legacy says that older message formats
// are among them.
func split(in []byte) (batches []batch, legacy bool, err error) {
	for len(in) > atMagic {
		size := int64(binary.BigEndian.Uint32(in[atLength:])) + 12
		if size > int64(len(in)) {
			break
		}
		if in[atMagic] < 2 {
			return nil, true, nil
		}
		if in[atMagic] > 2 || size < atRecords {
			return batches, false, fmt.Errorf("%w: magic %d and size %d", errCorrupt, in[atMagic], size)
		}
		b := batch(in[:size:size])
		if crc := crc32.Checksum(b[atAttributes:], castagnoli); crc != binary.BigEndian.Uint32(b[atCRC:]) {
			return batches, false, fmt.Errorf("%w at offset %d: checksum does not match", errCorrupt, b.first())
		}
		batches = append(batches, b)
		in = in[size:]
	}
	return batches, false, nil
}

// decode reads the answer for tp at position from.
func (d *decoder) decode(tp record.TopicPartition, from int64, rp *kmsg.FetchResponseTopicPartition) (decoded, error) {
	out := decoded{next: from, bytes: len(rp.RecordBatches)}
	batches, legacy, err := split(rp.RecordBatches)
	if legacy {
		return d.legacy(tp, from, rp)
	}
	count := 0
	for _, b := range batches {
		if n := int(b.i32(atCount)); n >= 0 && n <= math.MaxInt32/2 && b.attributes()&attrControl == 0 {
			count += min(n, len(b)*64)
		}
	}
	if count > 0 {
		out.records = make([]record.Record, 0, count)
	}
	aborted := newAborted(rp.AbortedTransactions)
	for _, b := range batches {
		if b.last() < out.next {
			continue
		}
		if aborted.skip(b) {
			out.next = b.last() + 1
			continue
		}
		if derr := d.batch(&out, tp, b); derr != nil {
			err = derr
			break
		}
		out.next = b.last() + 1
	}
	if out.next > from {
		return out, nil // what is wrong after it is found again by the next fetch
	}
	return out, err
}

// batch appends the records of one batch, from the position on.
func (d *decoder) batch(out *decoded, tp record.TopicPartition, b batch) error {
	raw := []byte(b[atRecords:])
	attrs := b.attributes()
	if codec := attrs & attrCompression; codec != 0 {
		var err error
		if raw, err = d.decompressor.Decompress(raw, kgo.CompressionCodecType(codec)); err != nil {
			return fmt.Errorf("%w at offset %d: %w", errCorrupt, b.first(), err)
		}
		out.bytes += len(raw)
	}
	r := reader{src: raw}
	kept := len(out.records)
	for range b.i32(atCount) {
		rec := record.Record{Topic: tp.Topic, Partition: tp.Partition}
		r.record(&rec)
		if r.bad {
			out.records = out.records[:kept]
			return fmt.Errorf("%w at offset %d: a record is cut off", errCorrupt, b.first())
		}
		if attrs&attrLogAppend != 0 {
			rec.Time = b.i64(atMaxTimestamp)
		} else {
			rec.Time += b.i64(atFirstTimestamp)
		}
		rec.Offset += b.first()
		if rec.Offset >= out.next {
			out.records = append(out.records, rec)
		}
	}
	return nil
}

// reader reads the varint coding of records.
type reader struct {
	src []byte
	bad bool
}

func (r *reader) varint() int64 {
	v, n := binary.Varint(r.src)
	if n <= 0 {
		r.bad = true
		r.src = nil
		return 0
	}
	r.src = r.src[n:]
	return v
}

// bytes returns nil for null. What it returns aliases the answer.
func (r *reader) bytes() []byte {
	n := r.varint()
	if n < 0 || r.bad {
		return nil
	}
	if n > int64(len(r.src)) {
		r.bad = true
		return nil
	}
	b := r.src[:n:n]
	r.src = r.src[n:]
	return b
}

// record leaves the deltas of time and offset in rec.
func (r *reader) record(rec *record.Record) {
	size := r.varint()
	if r.bad || size < 1 || size > int64(len(r.src)) {
		r.bad = true
		return
	}
	body := reader{src: r.src[1:size]} // the first byte is attributes, unused
	r.src = r.src[size:]
	rec.Time = body.varint()
	rec.Offset = body.varint()
	rec.Key = body.bytes()
	rec.Value = body.bytes()
	n := body.varint()
	if body.bad || n < 0 || n > int64(len(body.src)) {
		r.bad = true
		return
	}
	if n > 0 {
		rec.Headers = make([]record.Header, n)
		for i := range rec.Headers {
			key := body.bytes()
			rec.Headers[i] = record.Header{Key: unsafe.String(unsafe.SliceData(key), len(key)), Value: body.bytes()}
		}
	}
	r.bad = body.bad
}

// aborted tells which batches belong to aborted transactions.
type aborted struct {
	// starts are the aborted transactions that are still ahead, by first
	// offset; in are the producers inside of one.
	starts []kmsg.FetchResponseTopicPartitionAbortedTransaction
	in     map[int64]struct{}
}

func newAborted(list []kmsg.FetchResponseTopicPartitionAbortedTransaction) *aborted {
	a := &aborted{in: map[int64]struct{}{}}
	// Brokers need not send them in order.
	a.starts = slices.SortedFunc(slices.Values(list), func(x, y kmsg.FetchResponseTopicPartitionAbortedTransaction) int {
		return int(min(max(x.FirstOffset-y.FirstOffset, -1), 1))
	})
	return a
}

// skip reports whether the records of b are not for readers: control records
// and those of aborted transactions.
func (a *aborted) skip(b batch) bool {
	for len(a.starts) > 0 && a.starts[0].FirstOffset <= b.last() {
		a.in[a.starts[0].ProducerID] = struct{}{}
		a.starts = a.starts[1:]
	}
	pid := b.i64(atProducerID)
	attrs := b.attributes()
	if attrs&attrControl != 0 {
		if endsAborted(b) {
			delete(a.in, pid)
		}
		return true
	}
	_, in := a.in[pid]
	return in && attrs&attrTxn != 0
}

// endsAborted reports whether a control batch is an abort marker: its key is
// a version and a type, both int16, and type 0 aborts.
func endsAborted(b batch) bool {
	r := reader{src: b[atRecords:]}
	var rec record.Record
	if b.i32(atCount) > 0 {
		r.record(&rec)
	}
	return !r.bad && len(rec.Key) >= 4 && rec.Key[2] == 0 && rec.Key[3] == 0
}

// legacy reads message formats from before Kafka 0.11 with franz-go's own
// parser. They know no transactions.
func (d *decoder) legacy(tp record.TopicPartition, from int64, rp *kmsg.FetchResponseTopicPartition) (decoded, error) {
	opts := kgo.ProcessFetchPartitionOpts{Offset: from, IsolationLevel: kgo.ReadCommitted(), Topic: tp.Topic, Partition: tp.Partition}
	fp, next := kgo.ProcessFetchPartition(opts, rp, d.decompressor, nil)
	out := decoded{next: next, bytes: 2 * len(rp.RecordBatches), records: make([]record.Record, 0, len(fp.Records))}
	for _, r := range fp.Records {
		rec := record.Record{Topic: tp.Topic, Partition: tp.Partition, Offset: r.Offset, Time: record.NoTime, Key: r.Key, Value: r.Value}
		if !r.Timestamp.IsZero() {
			rec.Time = r.Timestamp.UnixMilli()
		}
		for _, h := range r.Headers {
			rec.Headers = append(rec.Headers, record.Header(h))
		}
		out.records = append(out.records, rec)
	}
	return out, fp.Err
}
