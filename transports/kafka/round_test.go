package kafka

import (
	"testing"
	"unsafe"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/weirstream/weir/core/record"
	"github.com/weirstream/weir/core/task"
)

// Tasks count what the records of a round take here before there is a round.
func TestRoundCosts(t *testing.T) {
	t.Parallel()
	const n = 1000
	rs := make([]record.Record, n)
	for i := range rs {
		rs[i].Headers = make([]record.Header, 3)
	}
	var r round
	r.fill([][]record.Record{rs})
	if took := cap(r.recs) * int(unsafe.Sizeof(kgo.Record{})); took > n*task.RecordBytes {
		t.Errorf("%d records take %d bytes, tasks count %d for each", n, took, task.RecordBytes)
	}
	if took := cap(r.headers) * int(unsafe.Sizeof(kgo.RecordHeader{})); took > 3*n*task.HeaderBytes {
		t.Errorf("%d headers take %d bytes, tasks count %d for each", 3*n, took, task.HeaderBytes)
	}
}
