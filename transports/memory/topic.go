package memory

import (
	"encoding/binary"
	"fmt"
	"maps"
	"strconv"
	"strings"

	"github.com/weirstream/weir/core/record"
	"github.com/weirstream/weir/core/store"
	"github.com/weirstream/weir/runtime"
)

type topic struct {
	id    store.LogID
	info  runtime.TopicInfo
	parts []*partition
}

func (t *topic) policy(word string) bool {
	return strings.Contains(t.info.Config["cleanup.policy"], word)
}

// defaultMaxMessage is Kafka's default of max.message.bytes.
const defaultMaxMessage = 1048588

// recordOverhead is what a record takes in a log besides its bytes, about.
const recordOverhead = 70

// maxMessage is how large a record may be, by the topic's max.message.bytes.
func (t *topic) maxMessage() int {
	if n, err := strconv.Atoi(t.info.Config["max.message.bytes"]); err == nil {
		return n
	}
	return defaultMaxMessage
}

func (t *topic) accepts(tp record.TopicPartition, recs []record.Record) error {
	compact, limit := t.policy("compact"), t.maxMessage()
	for i := range recs {
		if compact && recs[i].Key == nil {
			return fmt.Errorf("%w: record %d for %v", ErrNoKey, i, tp)
		}
		size := len(recs[i].Key) + len(recs[i].Value) + recordOverhead
		for _, h := range recs[i].Headers {
			size += len(h.Key) + len(h.Value)
		}
		if size > limit {
			return fmt.Errorf("%w: record %d for %v takes %d bytes and %s allows %d", ErrTooLarge, i, tp, size, tp.Topic, limit)
		}
	}
	return nil
}

// validName holds topic names to Kafka's rules.
func validName(name string) bool {
	const most = 249
	return name != "" && name != "." && name != ".." && len(name) <= most && !strings.ContainsFunc(name, func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && r != '.' && r != '_' && r != '-'
	})
}

// CreateTopic creates a topic, or fails with ErrTopicExists.
// Partitions and Replicas of -1 are the default, one. Config is completed
// with Kafka's defaults of cleanup.policy, retention.ms and retention.bytes.
func (b *Broker) CreateTopic(name string, spec runtime.TopicSpec) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.topics[name] != nil {
		return fmt.Errorf("%w: %s", ErrTopicExists, name)
	}
	if spec.Partitions == -1 {
		spec.Partitions = 1
	}
	if spec.Replicas == -1 {
		spec.Replicas = 1
	}
	if !validName(name) || spec.Partitions < 1 || spec.Replicas < 1 {
		return fmt.Errorf("%w: %q with %d partitions and %d replicas; name it with letters, digits, '.', '_' and '-', and ask for at least one of each, or -1 for the default",
			ErrInvalidTopic, name, spec.Partitions, spec.Replicas)
	}
	t := &topic{info: runtime.TopicInfo{Partitions: spec.Partitions, Replicas: spec.Replicas, Config: map[string]string{
		"cleanup.policy": "delete", "retention.ms": "604800000", "retention.bytes": "-1",
	}}}
	maps.Copy(t.info.Config, spec.Config)
	for range spec.Partitions {
		t.parts = append(t.parts, &partition{})
	}
	b.created++
	binary.BigEndian.PutUint64(t.id[8:], b.created)
	b.topics[name] = t
	b.topicChanged(name)
	return nil
}

// DeleteTopic deletes a topic with all it holds, and what groups committed
// for it, as Kafka does. An open transaction goes on without it. Made anew,
// the topic starts at offset 0. Deleting one that is absent is fine.
func (b *Broker) DeleteTopic(name string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.topics[name] == nil {
		return
	}
	delete(b.topics, name)
	for _, g := range b.groups {
		g.forget(name)
	}
	b.topicChanged(name)
}

// topicChanged makes groups that read the topic assign anew.
func (b *Broker) topicChanged(name string) {
	for _, g := range b.groups {
		if g.reads(name) {
			g.rebalance()
		}
	}
	b.notify()
}

// Topics describes all topics.
func (b *Broker) Topics() map[string]runtime.TopicInfo {
	b.mu.Lock()
	defer b.mu.Unlock()
	infos := make(map[string]runtime.TopicInfo, len(b.topics))
	for name, t := range b.topics {
		info := t.info
		info.Config = maps.Clone(info.Config)
		infos[name] = info
	}
	return infos
}

// Partitions is the number of partitions of a topic, 0 if there is none.
func (b *Broker) Partitions(name string) int32 {
	b.mu.Lock()
	defer b.mu.Unlock()
	if t := b.topics[name]; t != nil {
		return t.info.Partitions
	}
	return 0
}

// Range returns what a partition holds: its log start and its end, the high
// watermark, with the identity of the topic.
func (b *Broker) Range(tp record.TopicPartition) (runtime.LogRange, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	t, p, err := b.partition(tp)
	if err != nil {
		return runtime.LogRange{}, err
	}
	r := p.bounds()
	r.Topic = t.id
	return r, nil
}

// LastStable returns the last stable offset: where readers of committed
// records have to stop for now.
func (b *Broker) LastStable(tp record.TopicPartition) (int64, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	_, p, err := b.partition(tp)
	if err != nil {
		return 0, err
	}
	return p.lastStable(), nil
}

// DeleteRecords deletes the records before an offset; -1 is the end. As in
// Kafka the topic's cleanup.policy has to include delete (else ErrPolicy) and
// the offset must not be beyond the end (runtime.ErrOffsetOutOfRange).
func (b *Broker) DeleteRecords(tp record.TopicPartition, before int64) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	t, p, err := b.partition(tp)
	if err != nil {
		return err
	}
	if !t.policy("delete") {
		return fmt.Errorf("%w: deleting records of %v", ErrPolicy, tp)
	}
	if before == -1 {
		before = p.end
	}
	if before < 0 || before > p.end {
		return outOfRange(tp, before, p.bounds())
	}
	p.drop(before)
	b.notify()
	return nil
}

// Compact runs the log cleaner on all of a partition below the last stable
// offset. Offsets stay and leave gaps. Tombstones stay too unless
// dropTombstones, which is what Kafka does once delete.retention.ms is over;
// markers of transactions that have no record left go with them. The topic's
// cleanup.policy has to include compact (else ErrPolicy).
func (b *Broker) Compact(tp record.TopicPartition, dropTombstones bool) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	t, p, err := b.partition(tp)
	if err != nil {
		return err
	}
	if !t.policy("compact") {
		return fmt.Errorf("%w: compacting %v", ErrPolicy, tp)
	}
	p.compact(dropTombstones)
	b.notify()
	return nil
}

// Truncate loses everything at or above an offset, as an unclean leader
// election does. New records take the offsets again.
func (b *Broker) Truncate(tp record.TopicPartition, end int64) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	_, p, err := b.partition(tp)
	if err != nil {
		return err
	}
	if end < p.start || end > p.end {
		return outOfRange(tp, end, p.bounds())
	}
	p.truncate(end)
	b.notify()
	return nil
}
