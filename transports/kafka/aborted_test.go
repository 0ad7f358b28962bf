package kafka

import (
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/weirstream/weir/core/record"
	"github.com/weirstream/weir/runtime"
)

// kfake forgets to list the aborted transactions of the partition at which an
// answer became full. A reader with a small limit over several partitions must
// not take their records for committed.
func TestAbortedRecordsInFullAnswers(t *testing.T) {
	t.Parallel()
	const parts = 4
	w := newWorld(t, map[string]int32{"log": parts})
	cl := w.raw(kgo.TransactionalID("aborter"), kgo.RecordPartitioner(kgo.ManualPartitioner()))
	big := strings.Repeat("x", 3000)
	at, ends := map[record.TopicPartition]int64{}, map[record.TopicPartition]int64{}
	for p := range int32(parts) {
		for range 6 {
			w.transaction(cl, tp("log", p), kgo.TryAbort, big, big)
		}
		w.transaction(cl, tp("log", p), kgo.TryCommit, "committed")
		at[tp("log", p)] = 0
		ends[tp("log", p)] = w.end(tp("log", p))
	}
	f := w.fetcher(runtime.FetchConfig{MaxBytes: 256 << 10})
	f.Set(at)
	for len(ends) > 0 {
		for _, b := range f.Poll(w.ctx, 0) {
			for _, r := range b.Records {
				if string(r.Value) != "committed" {
					t.Fatalf("%s: record %d of an aborted transaction was returned", b.TP, r.Offset)
				}
			}
			if b.Next >= ends[b.TP] {
				delete(ends, b.TP)
			}
		}
		if w.ctx.Err() != nil {
			t.Fatalf("never reached the ends of %v", ends)
		}
	}
}
