package kafka

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/weirstream/weir/core/record"
	"github.com/weirstream/weir/runtime"
)

// Topics implements runtime.Transport. Internal topics are left out when all
// are asked for.
func (t *Transport) Topics(ctx context.Context, names ...string) (map[string]runtime.TopicInfo, error) {
	var infos map[string]runtime.TopicInfo
	err := t.retry(ctx, func(ctx context.Context) (err error) {
		if infos, err = t.metadata(ctx, names); err != nil || len(infos) == 0 {
			return err
		}
		return t.describe(ctx, infos)
	})
	if err != nil {
		return nil, fmt.Errorf("kafka: describe topics: %w", err)
	}
	return infos, nil
}

func (t *Transport) metadata(ctx context.Context, names []string) (map[string]runtime.TopicInfo, error) {
	topics, err := t.look(ctx, names)
	if err != nil {
		return nil, err
	}
	infos := make(map[string]runtime.TopicInfo, len(topics))
	for _, name := range slices.Sorted(maps.Keys(topics)) {
		topic := topics[name]
		if len(names) == 0 && topic.IsInternal {
			continue
		}
		if err := kerr.ErrorForCode(topic.ErrorCode); err != nil {
			return nil, fmt.Errorf("topic %s: %w", name, err)
		}
		info := runtime.TopicInfo{Partitions: int32(len(topic.Partitions)), Config: map[string]string{}}
		for _, p := range topic.Partitions {
			if err := kerr.ErrorForCode(p.ErrorCode); err != nil && !errors.Is(err, kerr.ReplicaNotAvailable) {
				return nil, fmt.Errorf("topic %s partition %d: %w", name, p.Partition, err)
			}
			info.Replicas = int16(len(p.Replicas))
		}
		infos[name] = info
	}
	return infos, nil
}

// describe adds the brokers' configuration to infos. A topic that went away
// meanwhile, so that no broker has a configuration of it, leaves infos.
func (t *Transport) describe(ctx context.Context, infos map[string]runtime.TopicInfo) error {
	names := slices.Sorted(maps.Keys(infos))
	resp, err := configRequest(names).RequestWith(ctx, t.admin)
	if err != nil {
		return err
	}
	described := make(map[string]bool, len(names))
	if err := addConfigs(infos, described, resp); err != nil {
		return err
	}
	unknown := except(names, described)
	if len(unknown) == 0 {
		return nil
	}
	for _, other := range t.askAll(ctx, func() kmsg.Request { return configRequest(unknown) }) {
		if err := addConfigs(infos, described, other.(*kmsg.DescribeConfigsResponse)); err != nil {
			return err
		}
	}
	for _, name := range except(unknown, described) {
		delete(infos, name)
	}
	return nil
}

func configRequest(names []string) *kmsg.DescribeConfigsRequest {
	req := kmsg.NewPtrDescribeConfigsRequest()
	for _, name := range names {
		r := kmsg.NewDescribeConfigsRequestResource()
		r.ResourceType, r.ResourceName = kmsg.ConfigResourceTypeTopic, name
		req.Resources = append(req.Resources, r)
	}
	return req
}

// addConfigs adds the configuration of the topics that a broker knows.
func addConfigs(infos map[string]runtime.TopicInfo, described map[string]bool, resp *kmsg.DescribeConfigsResponse) error {
	for _, r := range resp.Resources {
		err := kerr.ErrorForCode(r.ErrorCode)
		switch {
		case errors.Is(err, kerr.UnknownTopicOrPartition):
			continue
		case err != nil:
			return fmt.Errorf("configuration of topic %s: %w", r.ResourceName, err)
		}
		described[r.ResourceName] = true
		for _, c := range r.Configs {
			if c.Value != nil && infos[r.ResourceName].Config != nil {
				infos[r.ResourceName].Config[c.Name] = *c.Value
			}
		}
	}
	return nil
}

// CreateTopics implements runtime.Transport. It returns when the brokers show
// the topics with a leader for each partition.
func (t *Transport) CreateTopics(ctx context.Context, topics map[string]runtime.TopicSpec) ([]string, error) {
	if len(topics) == 0 {
		return nil, nil
	}
	var created, there []string
	var refused []error
	left := slices.Sorted(maps.Keys(topics))
	err := t.retry(ctx, func(ctx context.Context) error {
		resp, err := t.newTopics(left, topics).RequestWith(ctx, t.admin)
		if err != nil {
			return err
		}
		left = nil
		var later error
		for _, topic := range resp.Topics {
			err := createError(topic)
			switch {
			case err == nil:
				created = append(created, topic.Topic)
			case errors.Is(err, kerr.TopicAlreadyExists):
				there = append(there, topic.Topic)
			case passing(err):
				left, later = append(left, topic.Topic), err
			default:
				refused = append(refused, err)
			}
		}
		return later
	})
	slices.Sort(created)
	if err == nil {
		err = t.waitTopics(ctx, slices.Concat(created, there))
	}
	if err = errors.Join(append(refused, err)...); err != nil {
		return created, fmt.Errorf("kafka: create topics: %w", err)
	}
	return created, nil
}

// newTopics asks for topics of these names.
func (t *Transport) newTopics(names []string, topics map[string]runtime.TopicSpec) *kmsg.CreateTopicsRequest {
	req := kmsg.NewPtrCreateTopicsRequest()
	req.TimeoutMillis = int32(t.cfg.RequestTimeout.Milliseconds())
	for _, name := range names {
		topic := kmsg.NewCreateTopicsRequestTopic()
		topic.Topic = name
		topic.NumPartitions, topic.ReplicationFactor = topics[name].Partitions, topics[name].Replicas
		for _, key := range slices.Sorted(maps.Keys(topics[name].Config)) {
			config := kmsg.NewCreateTopicsRequestTopicConfig()
			config.Name, config.Value = key, kmsg.StringPtr(topics[name].Config[key])
			topic.Configs = append(topic.Configs, config)
		}
		req.Topics = append(req.Topics, topic)
	}
	return req
}

// createError is why a topic was not made.
func createError(topic kmsg.CreateTopicsResponseTopic) error {
	err := kerr.ErrorForCode(topic.ErrorCode)
	switch {
	case err == nil:
		return nil
	case topic.ErrorMessage != nil:
		return fmt.Errorf("topic %s: %w: %s", topic.Topic, err, *topic.ErrorMessage)
	}
	return fmt.Errorf("topic %s: %w", topic.Topic, err)
}

// waitTopics waits until the brokers show topics.
func (t *Transport) waitTopics(ctx context.Context, names []string) error {
	if len(names) == 0 {
		return nil
	}
	err := t.retry(ctx, func(ctx context.Context) error {
		infos, err := t.metadata(ctx, names)
		if err != nil {
			return err
		}
		for _, name := range names {
			if infos[name].Partitions == 0 {
				return fmt.Errorf("topic %s: %w", name, kerr.UnknownTopicOrPartition)
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("they are there, but brokers do not show all of them yet: %w", err)
	}
	return nil
}

// DeleteTopic implements runtime.Transport. It returns when brokers do not show
// the topic any more, or after goneWait, since somebody may make it anew.
func (t *Transport) DeleteTopic(ctx context.Context, name string) error {
	err := t.retry(ctx, func(ctx context.Context) error {
		_, err := t.adm.DeleteTopic(ctx, name)
		if errors.Is(err, kerr.UnknownTopicOrPartition) {
			return nil
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("kafka: delete topic %s: %w", name, err)
	}
	wait, cancel := context.WithTimeout(ctx, goneWait)
	defer cancel()
	_ = retry(wait, func() error {
		infos, err := t.metadata(wait, []string{name})
		if _, shown := infos[name]; err == nil && shown {
			return errShown
		}
		return err
	})
	return ctx.Err()
}

// goneWait bounds how long a deleted topic is watched.
const goneWait = 5 * time.Second

var errShown = errors.New("a broker still shows the topic")

// Offsets implements runtime.Transport.
func (t *Transport) Offsets(ctx context.Context, parts []record.TopicPartition) (map[record.TopicPartition]runtime.LogRange, error) {
	if len(parts) == 0 {
		return map[record.TopicPartition]runtime.LogRange{}, nil
	}
	var ranges map[record.TopicPartition]runtime.LogRange
	err := t.retry(ctx, func(ctx context.Context) error {
		list, err := t.offsets.get(ctx, t.life, parts)
		if err != nil {
			return err
		}
		ranges, err = list.of(parts)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("kafka: list offsets: %w", err)
	}
	return ranges, nil
}

// DeleteRecords implements runtime.Transport. What the topic's policy does
// not allow is passed over in silence.
func (t *Transport) DeleteRecords(ctx context.Context, before map[record.TopicPartition]int64) error {
	offsets := kadm.Offsets{}
	for tp, at := range before {
		offsets.AddOffset(tp.Topic, tp.Partition, at, -1)
	}
	if len(offsets) == 0 {
		return nil
	}
	err := t.retry(ctx, func(ctx context.Context) error {
		resps, err := t.adm.DeleteRecords(ctx, offsets)
		if err != nil {
			return err
		}
		var errs []error
		resps.Each(func(r kadm.DeleteRecordsResponse) {
			if r.Err != nil && !errors.Is(r.Err, kerr.PolicyViolation) {
				errs = append(errs, fmt.Errorf("%s/%d: %w", r.Topic, r.Partition, r.Err))
			}
		})
		return errors.Join(errs...)
	})
	if err != nil {
		return fmt.Errorf("kafka: delete records: %w", err)
	}
	return nil
}
