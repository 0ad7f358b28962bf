package kafka

import (
	"encoding/binary"
	"errors"
	"hash/crc32"
	"strconv"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// encodeBatch makes an uncompressed record batch of n records.
func encodeBatch(tb testing.TB, n int) []byte {
	tb.Helper()
	var recs []byte
	for i := range n {
		r := kmsg.Record{TimestampDelta64: int64(i), OffsetDelta: int32(i), Key: []byte(strconv.Itoa(i)), Value: make([]byte, 100)}
		r.Length = int32(len(r.AppendTo(nil)) - 1) // the length itself takes one byte while zero
		recs = r.AppendTo(recs)
	}
	rb := kmsg.RecordBatch{Magic: 2, LastOffsetDelta: int32(n - 1), ProducerID: -1, ProducerEpoch: -1, FirstSequence: -1, NumRecords: int32(n), Records: recs}
	rb.Length = int32(len(rb.AppendTo(nil)) - 12)
	raw := rb.AppendTo(nil)
	binary.BigEndian.PutUint32(raw[atCRC:], crc32.Checksum(raw[atAttributes:], castagnoli))
	return raw
}

func TestDecodeDamage(t *testing.T) {
	t.Parallel()
	good := encodeBatch(t, 10)
	d := decoder{kgo.DefaultDecompressor()}
	decode := func(raw []byte, from int64) (decoded, error) {
		return d.decode(tp("log", 0), from, &kmsg.FetchResponseTopicPartition{RecordBatches: raw})
	}
	if out, err := decode(good, 4); err != nil || len(out.records) != 6 || out.next != 10 || out.records[0].Offset != 4 {
		t.Fatalf("whole: %v %+v", err, out)
	}
	for cut := range len(good) {
		if out, err := decode(good[:cut], 0); err != nil || len(out.records) != 0 || out.next != 0 {
			t.Fatalf("cut at %d: %v %+v", cut, err, out)
		}
	}
	flipped := append([]byte(nil), good...)
	flipped[len(flipped)-1] ^= 1
	if _, err := decode(flipped, 0); !errors.Is(err, errCorrupt) {
		t.Fatalf("a flipped bit: %v", err)
	}
	second := append([]byte(nil), flipped...)
	binary.BigEndian.PutUint64(second, 10)
	out, err := decode(append(append([]byte(nil), good...), second...), 0)
	if err != nil || out.next != 10 {
		t.Fatalf("damage behind what is whole must wait for the next fetch: %v %+v", err, out)
	}
}

func FuzzDecode(f *testing.F) {
	f.Add(encodeBatch(f, 3), int64(0), true)
	f.Fuzz(func(t *testing.T, raw []byte, from int64, sum bool) {
		if sum && len(raw) > atAttributes {
			binary.BigEndian.PutUint32(raw[atCRC:], crc32.Checksum(raw[atAttributes:], castagnoli))
		}
		d := decoder{kgo.DefaultDecompressor()}
		out, err := d.decode(tp("log", 0), from, &kmsg.FetchResponseTopicPartition{RecordBatches: raw})
		if err == nil && out.next < from {
			t.Fatalf("position %d went back to %d", from, out.next)
		}
	})
}
