package main

import (
	"context"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"os"
	"sync/atomic"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// load writes the topics, the same records in every run.
func load(ctx context.Context, o options) (func(), error) {
	cl, err := kgo.NewClient(kgo.SeedBrokers(o.brokers), kgo.ProducerBatchCompression(kgo.NoCompression()), kgo.MaxBufferedRecords(100_000))
	if err != nil {
		return nil, err
	}
	adm := kadm.NewClient(cl)
	var names []string
	for _, keys := range keyCounts {
		names = append(names, topicOf(keys))
	}
	if _, err := adm.DeleteTopics(ctx, names...); err != nil {
		return nil, fmt.Errorf("deleting old topics: %w", err)
	}
	for _, keys := range keyCounts {
		if err := loadTopic(ctx, cl, adm, keys, o.records); err != nil {
			return nil, fmt.Errorf("loading %s: %w", topicOf(keys), err)
		}
	}
	return func() {
		_, _ = adm.DeleteTopics(context.WithoutCancel(ctx), names...)
		cl.Close()
	}, nil
}

func loadTopic(ctx context.Context, cl *kgo.Client, adm *kadm.Client, keys, records int) error {
	fmt.Fprintf(os.Stderr, "loading %d records with %d keys\n", records, keys)
	for {
		r, err := adm.CreateTopic(ctx, partitions, 1, nil, topicOf(keys))
		if err == nil && r.Err == nil {
			break
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		// A topic of an earlier run is still being deleted.
	}
	rng := rand.New(rand.NewPCG(1, uint64(keys)))
	var failed atomic.Pointer[error]
	for range records {
		key := binary.BigEndian.AppendUint64(nil, uint64(rng.IntN(keys)))
		value := make([]byte, valueBytes)
		binary.LittleEndian.PutUint64(value, rng.Uint64())
		cl.Produce(ctx, &kgo.Record{Topic: topicOf(keys), Key: key, Value: value}, func(_ *kgo.Record, err error) {
			if err != nil {
				failed.Store(&err)
			}
		})
	}
	if err := cl.Flush(ctx); err != nil {
		return err
	}
	if err := failed.Load(); err != nil {
		return *err
	}
	return nil
}
