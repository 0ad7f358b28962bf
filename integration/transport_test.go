package integration_test

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/weirstream/weir/conformance"
	"github.com/weirstream/weir/core/record"
	"github.com/weirstream/weir/integration"
	"github.com/weirstream/weir/integration/broker"
	"github.com/weirstream/weir/runtime"
	"github.com/weirstream/weir/transports/kafka"
	"github.com/weirstream/weir/transports/kafka/kafkatest"
)

// TestTransport runs the suite of transports on a real Kafka. Its checks share
// the cluster and differ in their names.
func TestTransport(t *testing.T) {
	brokers, loopback := integration.Kafka(t)
	conformance.Transport(t, conformance.TransportFactory{
		Name:     "kafka",
		New:      realPlaces(brokers, loopback),
		Can:      append(kafkatest.Can(), conformance.Compacts),
		Patience: 3 * time.Minute,
	})
}

// realPlaces makes places on one cluster.
func realPlaces(brokers []string, loopback bool) func(tb conformance.TB) conformance.TransportPlace {
	var places atomic.Int32
	run := time.Now().UnixMicro()
	return func(tb conformance.TB) conformance.TransportPlace {
		cfg := kafka.Config{Brokers: brokers, RequestTimeout: 5 * time.Second}
		if loopback {
			cfg.Dialer = broker.Loopback
		}
		place := kafkatest.Place(tb, cfg, fmt.Sprintf("conformance-%d-%d-", run, places.Add(1)))
		place.Compact = func(tp record.TopicPartition) error { return compact(place, tp) }
		return place
	}
}

// compact waits until the log cleaner has left one record of each key that is
// there: it looks every second, or every 15 s on a Kafka that somebody named,
// and may have looked before. It leaves the last segment alone, so that one is
// ended, again and again, with a copy of the last record.
func compact(place conformance.TransportPlace, tp record.TopicPartition) error {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	tr, err := place.Connect()
	if err != nil {
		return err
	}
	defer func() { _ = tr.Close() }()
	p, err := tr.Producer(ctx, "")
	if err != nil {
		return err
	}
	defer p.Close()
	recs, err := readAll(ctx, tr, tp)
	if err != nil {
		return err
	}
	last := recs[len(recs)-1:]
	end := last[0].Offset
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for !compacted(recs, end) {
		last[0].Time = time.Now().UnixMilli() // segments end by the times of records
		if res := p.Commit(ctx, runtime.Commit{Records: [][]record.Record{last}}); res.Outcome != runtime.Committed {
			return res.Err
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf("the log cleaner left %d records up to offset %d, some with the same key", len(recs), end)
		}
		if recs, err = readAll(ctx, tr, tp); err != nil {
			return err
		}
	}
	return nil
}

// compacted reports whether no key is there twice up to an offset.
func compacted(recs []record.Record, end int64) bool {
	seen := make(map[string]bool)
	for _, r := range recs {
		if r.Offset > end {
			break
		}
		if seen[string(r.Key)] {
			return false
		}
		seen[string(r.Key)] = true
	}
	return true
}

func readAll(ctx context.Context, tr runtime.Transport, tp record.TopicPartition) ([]record.Record, error) {
	ranges, err := tr.Offsets(ctx, []record.TopicPartition{tp})
	if err != nil {
		return nil, err
	}
	f, err := tr.Fetcher(runtime.FetchConfig{})
	if err != nil {
		return nil, err
	}
	defer f.Close()
	f.Set(map[record.TopicPartition]int64{tp: ranges[tp].Start})
	var recs []record.Record
	for next := ranges[tp].Start; next < ranges[tp].End; {
		for _, b := range f.Poll(ctx, 0) {
			if b.Err != nil {
				return nil, b.Err
			}
			recs, next = append(recs, b.Records...), b.Next
		}
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
	}
	return recs, nil
}
