package runtime

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"testing"
	"testing/synctest"
	"time"

	"github.com/weirstream/weir/core/record"
	"github.com/weirstream/weir/core/store"
	"github.com/weirstream/weir/core/task"
	"github.com/weirstream/weir/core/topology"
	"github.com/weirstream/weir/core/worker"
)

// deleter is a transport whose first deletion fails.
type deleter struct {
	Transport

	calls []map[record.TopicPartition]int64
}

func (d *deleter) DeleteRecords(_ context.Context, before map[record.TopicPartition]int64) error {
	d.calls = append(d.calls, before)
	if len(d.calls) == 1 {
		return errors.New("not the leader")
	}
	return nil
}

// A deletion that failed is tried again although nothing new was consumed.
func TestPurgeTriesAgain(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d := &deleter{}
		p := newPurger(&Config{
			Transport: d, PurgeInterval: time.Minute, Logger: slog.New(slog.DiscardHandler),
			Topology: &topology.Topology{Topics: map[string]*topology.Topic{"r": {Name: "r", Kind: topology.Repartition}}},
		})
		p.consumed(&worker.Round{Epochs: []*task.Epoch{{Offsets: []store.InputOffset{{Topic: "r", Partition: 1, Offset: 7}}}}})
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
		defer cancel()
		p.run(ctx)
		want := map[record.TopicPartition]int64{{Topic: "r", Partition: 1}: 7}
		if len(d.calls) != 2 || !maps.Equal(d.calls[1], want) {
			t.Errorf("deletions asked for: %v; want %v twice", d.calls, want)
		}
	})
}
