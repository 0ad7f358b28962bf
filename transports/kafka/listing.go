package kafka

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/weirstream/weir/core/record"
	"github.com/weirstream/weir/core/store"
	"github.com/weirstream/weir/runtime"
)

// An offsetList has the starts and ends of some partitions.
type offsetList struct {
	ids map[string]store.LogID
	// unsettled are topics that were made or made anew meanwhile.
	unsettled    map[string]bool
	starts, ends listed
}

// listed are offsets as the brokers answered. Partitions that do not exist are
// absent.
type listed map[record.TopicPartition]kmsg.ListOffsetsResponseTopicPartition

// of picks some partitions.
func (o offsetList) of(parts []record.TopicPartition) (map[record.TopicPartition]runtime.LogRange, error) {
	ranges := make(map[record.TopicPartition]runtime.LogRange, len(parts))
	for _, tp := range parts {
		start, ok := o.starts[tp]
		end, ok2 := o.ends[tp]
		switch err := errors.Join(kerr.ErrorForCode(start.ErrorCode), kerr.ErrorForCode(end.ErrorCode)); {
		case o.unsettled[tp.Topic]:
			return nil, errRecreatedMeanwhile
		case !ok || !ok2:
			return nil, &permanentError{fmt.Errorf("%v does not exist: %w", tp, kerr.UnknownTopicOrPartition)}
		case err != nil:
			return nil, fmt.Errorf("%v: %w", tp, err)
		}
		ranges[tp] = runtime.LogRange{Start: start.Offset, End: end.Offset, Topic: o.ids[tp.Topic]}
	}
	return ranges, nil
}

// Offsets that have numbers of their own (KIP-79).
const (
	firstOffset = -2
	endOffset   = -1
)

// listOffsets asks for the starts and ends of some partitions.
func (t *Transport) listOffsets(ctx context.Context, parts []record.TopicPartition) (offsetList, error) {
	var names []string
	eachTopic(parts, func(topic string, _ []int32) { names = append(names, topic) })
	before, err := t.lookReady(ctx, names)
	if err != nil {
		return offsetList{}, err
	}
	there := slices.DeleteFunc(slices.Clone(parts), func(tp record.TopicPartition) bool {
		return !slices.ContainsFunc(before[tp.Topic].Partitions, func(p kmsg.MetadataResponseTopicPartition) bool { return p.Partition == tp.Partition })
	})
	// The start first: it only grows, so start <= end holds.
	starts, err := t.list(ctx, there, firstOffset)
	if err != nil {
		return offsetList{}, err
	}
	ends, err := t.list(ctx, there, endOffset)
	if err != nil {
		return offsetList{}, err
	}
	// Offsets are asked for by name: a topic that is the same before and
	// after was the same in between.
	after, err := t.lookReady(ctx, names)
	if err != nil {
		return offsetList{}, err
	}
	list := offsetList{ids: make(map[string]store.LogID), unsettled: make(map[string]bool), starts: starts, ends: ends}
	for _, name := range names {
		list.ids[name] = before[name].TopicID
		list.unsettled[name] = before[name].TopicID != after[name].TopicID
	}
	return list, nil
}

// lookReady is look for topics that are all in order.
func (t *Transport) lookReady(ctx context.Context, names []string) (map[string]kmsg.MetadataResponseTopic, error) {
	topics, err := t.look(ctx, names)
	if err != nil {
		return nil, err
	}
	for name, topic := range topics {
		if err := kerr.ErrorForCode(topic.ErrorCode); err != nil {
			return nil, fmt.Errorf("topic %s: %w", name, err)
		}
	}
	return topics, nil
}

// list asks the leaders of partitions for an offset of each.
func (t *Transport) list(ctx context.Context, parts []record.TopicPartition, which int64) (listed, error) {
	req := kmsg.NewPtrListOffsetsRequest()
	req.TimeoutMillis = int32(t.cfg.RequestTimeout.Milliseconds())
	eachTopic(parts, func(topic string, parts []int32) {
		rt := kmsg.NewListOffsetsRequestTopic()
		rt.Topic = topic
		for _, p := range parts {
			rp := kmsg.NewListOffsetsRequestTopicPartition()
			rp.Partition, rp.Timestamp = p, which
			rt.Partitions = append(rt.Partitions, rp)
		}
		req.Topics = append(req.Topics, rt)
	})
	out := make(listed, len(parts))
	if len(parts) == 0 {
		return out, nil
	}
	resp, err := req.RequestWith(ctx, t.admin)
	if err != nil {
		return nil, err
	}
	for _, rt := range resp.Topics {
		for _, rp := range rt.Partitions {
			out[record.TopicPartition{Topic: rt.Topic, Partition: rp.Partition}] = rp
		}
	}
	for _, tp := range parts {
		if _, ok := out[tp]; !ok {
			return nil, fmt.Errorf("no broker has answered for %v: %w", tp, kerr.UnknownTopicOrPartition)
		}
	}
	return out, nil
}

var errRecreatedMeanwhile = errors.New("a topic was created, or created anew, while its offsets were read")
