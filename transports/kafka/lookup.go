package kafka

import (
	"errors"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"

	"github.com/weirstream/weir/core/record"
)

// defaultMaxUnknown is how many metadata answers in a row may miss a partition
// before that is an error. With the backoff between them it is about ten
// seconds, more than the brokers take to spread the word of a new topic.
const defaultMaxUnknown = 12

// errRecreated says that a topic is not the one that was read so far.
var errRecreated = errors.New("the topic was deleted and created anew: its offsets mean something else now; set the partition again to read the new topic")

// lookups finds leaders for cursors that have none.
func (f *fetcher) lookups() {
	defer f.wg.Done()
	tries := 0
	for f.ctx.Err() == nil {
		topics := f.leaderless()
		if len(topics) == 0 {
			tries = 0
			select {
			case <-f.lookup:
			case <-f.ctx.Done():
			}
			continue
		}
		if tries++; tries > 1 {
			if wait(f.ctx, backoff(tries)) != nil {
				return
			}
		}
		f.lookupTopics(topics)
	}
}

func (f *fetcher) leaderless() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	topics := map[string]struct{}{}
	for _, cur := range f.order {
		if cur.leader == noLeader && !cur.failed {
			topics[cur.tp.Topic] = struct{}{}
		}
	}
	return slices.Sorted(maps.Keys(topics))
}

func (f *fetcher) lookupTopics(topics []string) {
	cl := f.t.admin
	if f.lost.Swap(false) {
		cl = f.cl
	}
	resp, err := metadataRequest(topics).RequestWith(f.ctx, cl)
	if err != nil {
		f.lost.Store(true)
		if f.ctx.Err() == nil {
			f.log.Warn("kafka: cannot find partition leaders; retrying", "error", err)
		}
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	found := map[record.TopicPartition]place{}
	refused := map[string]error{}
	for _, t := range resp.Topics {
		if t.Topic == nil {
			continue
		}
		if err := kerr.ErrorForCode(t.ErrorCode); err != nil {
			refused[*t.Topic] = err
		}
		for _, p := range t.Partitions {
			found[record.TopicPartition{Topic: *t.Topic, Partition: p.Partition}] = place{t.TopicID, p.Leader, p.LeaderEpoch, kerr.ErrorForCode(p.ErrorCode)}
		}
	}
	for _, cur := range f.order {
		if cur.leader == noLeader && !cur.failed && slices.Contains(topics, cur.tp.Topic) {
			at, ok := found[cur.tp]
			f.locate(cur, at, ok, refused[cur.tp.Topic])
		}
	}
}

// place is where a partition lives.
type place struct {
	id     [16]byte
	leader int32
	epoch  int32
	err    error
}

// locate gives a cursor its leader, or counts that there is none.
func (f *fetcher) locate(cur *cursor, at place, ok bool, refused error) {
	switch {
	case refused != nil && !passing(refused):
		f.fail(cur, refused)
	case !ok:
		if cur.unknown++; cur.unknown >= f.t.maxUnknown {
			f.fail(cur, kerr.UnknownTopicOrPartition)
		}
	case at.id != cur.id && cur.id != [16]byte{}:
		f.fail(cur, errRecreated)
	case at.leader < 0 || errors.Is(at.err, kerr.LeaderNotAvailable):
		// Nobody leads it at the moment.
	default:
		cur.id, cur.leader, cur.leaderEpoch = at.id, at.leader, at.epoch
		signal(f.lead(at.leader).wake)
	}
}

// compacted reports whether a topic is compacted, as far as can be told. The
// answer is kept: it is needed only at the odd end of a log.
func (f *fetcher) compacted(topic string) bool {
	f.mu.Lock()
	compacted, known := f.policies[topic]
	f.mu.Unlock()
	if known {
		return compacted
	}
	configs, err := f.t.adm.DescribeTopicConfigs(f.ctx, topic)
	if err == nil {
		_, err = configs.On(topic, nil)
	}
	if err != nil {
		if f.ctx.Err() == nil {
			f.log.Warn("kafka: cannot tell whether a topic is compacted; its end may not be reached",
				"topic", topic, "error", err)
			_ = wait(f.ctx, time.Second)
		}
		return false
	}
	for _, c := range configs[0].Configs {
		if c.Key == "cleanup.policy" && c.Value != nil {
			compacted = strings.Contains(*c.Value, "compact")
		}
	}
	f.mu.Lock()
	f.policies[topic] = compacted
	f.mu.Unlock()
	return compacted
}
