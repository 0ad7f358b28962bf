package kafka

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/weirstream/weir/core/record"
	"github.com/weirstream/weir/runtime"
)

// Committed implements runtime.Group.
func (g *group) Committed(ctx context.Context, parts []record.TopicPartition) (map[record.TopicPartition]runtime.Offset, error) {
	if len(parts) == 0 {
		return map[record.TopicPartition]runtime.Offset{}, nil
	}
	var offsets map[record.TopicPartition]runtime.Offset
	err := g.t.retry(ctx, func(ctx context.Context) error {
		all, err := g.committed.get(ctx, g.t.life, parts)
		if err != nil {
			return err
		}
		offsets, err = all.of(parts)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("kafka: committed offsets of group %s: %w", g.cfg.Group, err)
	}
	return offsets, nil
}

// fetchedOffsets are offsets of a group as the broker answered.
type fetchedOffsets map[record.TopicPartition]kmsg.OffsetFetchResponseGroupTopicPartition

// of picks some partitions. Those that others asked for may be in trouble, such
// as a transaction that is pending.
func (f fetchedOffsets) of(parts []record.TopicPartition) (map[record.TopicPartition]runtime.Offset, error) {
	offsets := make(map[record.TopicPartition]runtime.Offset, len(parts))
	for _, tp := range parts {
		p, ok := f[tp]
		if !ok {
			return nil, fmt.Errorf("the broker has not answered for %v", tp)
		}
		if err := kerr.ErrorForCode(p.ErrorCode); err != nil {
			return nil, fmt.Errorf("%v: %w", tp, err)
		}
		if p.Offset < 0 {
			continue
		}
		o := runtime.Offset{At: p.Offset}
		if p.Metadata != nil {
			o.Metadata = *p.Metadata
		}
		offsets[tp] = o
	}
	return offsets, nil
}

// fetchOffsets asks once, for offsets that no open transaction may change.
func (g *group) fetchOffsets(ctx context.Context, parts []record.TopicPartition) (fetchedOffsets, error) {
	req := kmsg.NewPtrOffsetFetchRequest()
	req.RequireStable = true
	rg := kmsg.NewOffsetFetchRequestGroup()
	rg.Group = g.cfg.Group
	eachTopic(parts, func(topic string, parts []int32) {
		rt := kmsg.NewOffsetFetchRequestGroupTopic()
		rt.Topic = topic
		rt.Partitions = parts
		rg.Topics = append(rg.Topics, rt)
	})
	req.Groups = append(req.Groups, rg)
	resp, err := req.RequestWith(ctx, g.t.admin)
	if err != nil {
		return nil, err
	}
	if len(resp.Groups) != 1 {
		return nil, fmt.Errorf("the broker answered for %d groups instead of one", len(resp.Groups))
	}
	if err := kerr.ErrorForCode(resp.Groups[0].ErrorCode); err != nil {
		return nil, err
	}
	offsets := make(fetchedOffsets, len(parts))
	for _, t := range resp.Groups[0].Topics {
		for _, p := range t.Partitions {
			offsets[record.TopicPartition{Topic: t.Topic, Partition: p.Partition}] = p
		}
	}
	return offsets, nil
}

// eachTopic groups partitions by topic, both in order.
func eachTopic(parts []record.TopicPartition, fn func(topic string, parts []int32)) {
	sorted := slices.SortedFunc(slices.Values(parts), record.TopicPartition.Compare)
	for i := 0; i < len(sorted); {
		j := i
		var ps []int32
		for ; j < len(sorted) && sorted[j].Topic == sorted[i].Topic; j++ {
			ps = append(ps, sorted[j].Partition)
		}
		fn(sorted[i].Topic, ps)
		i = j
	}
}

// Commit implements runtime.Group. A commit of a member that the group has
// put out fails with runtime.ErrFenced.
func (g *group) Commit(ctx context.Context, c runtime.Claim, offsets map[record.TopicPartition]runtime.Offset) error {
	err := g.underClaim(ctx, c, func(id string, generation int32) error {
		return g.commitOffsets(ctx, id, generation, offsets)
	})
	if err != nil {
		return fmt.Errorf("kafka: commit offsets of group %s: %w", g.cfg.Group, err)
	}
	return nil
}

// errNoMember says that there is no membership to commit under right now. An
// empty member ID must never be sent: brokers take it for a commit that wants
// no check.
var errNoMember = errors.New("not a member of the group at the moment")

// underClaim sends a commit of offsets: it reads the membership, checks the
// claim, and only then sends. A generation that the broker finds old is read
// again, and the claim is checked again: as long as the claim holds, the
// partitions are still ours in the new generation.
func (g *group) underClaim(ctx context.Context, c runtime.Claim, send func(id string, generation int32) error) error {
	return retryWhen(ctx, membershipPasses, func() error {
		id, generation := g.Member()
		if g.expelled.Load() {
			return errExpelled
		}
		if c != nil {
			if err := c(); err != nil {
				return &claimError{err}
			}
		}
		if id == "" || generation < 0 || g.left.Load() {
			return errNoMember
		}
		err := send(id, generation)
		if errors.Is(err, kerr.UnknownMemberID) || errors.Is(err, kerr.FencedInstanceID) {
			return fmt.Errorf("%w: %w", runtime.ErrFenced, err)
		}
		return err
	})
}

// A claimError is what a claim returned, told apart from what brokers answer.
type claimError struct{ err error }

func (e *claimError) Error() string { return "claim: " + e.err.Error() }
func (e *claimError) Unwrap() error { return e.err }

func membershipPasses(err error) bool {
	var claim *claimError
	switch {
	case errors.As(err, &claim), errors.Is(err, runtime.ErrFenced):
		return false
	case errors.Is(err, errNoMember), errors.Is(err, kerr.IllegalGeneration), errors.Is(err, kerr.RebalanceInProgress):
		return true
	}
	return passing(err)
}

// commitOffsets asks the coordinator once. It checks member and generation.
func (g *group) commitOffsets(ctx context.Context, id string, generation int32, offsets map[record.TopicPartition]runtime.Offset) error {
	req := kmsg.NewPtrOffsetCommitRequest()
	req.Group = g.cfg.Group
	req.MemberID = id
	req.Generation = generation
	req.InstanceID = g.instance()
	eachTopic(slices.Collect(maps.Keys(offsets)), func(topic string, parts []int32) {
		rt := kmsg.NewOffsetCommitRequestTopic()
		rt.Topic = topic
		for _, p := range parts {
			o := offsets[record.TopicPartition{Topic: topic, Partition: p}]
			rp := kmsg.NewOffsetCommitRequestTopicPartition()
			rp.Partition = p
			rp.Offset = o.At
			rp.Metadata = kmsg.StringPtr(o.Metadata)
			rt.Partitions = append(rt.Partitions, rp)
		}
		req.Topics = append(req.Topics, rt)
	})
	resp, err := req.RequestWith(ctx, g.t.admin)
	if err != nil {
		return err
	}
	for _, t := range resp.Topics {
		for _, p := range t.Partitions {
			if err := kerr.ErrorForCode(p.ErrorCode); err != nil {
				return fmt.Errorf("%s/%d: %w", t.Topic, p.Partition, err)
			}
		}
	}
	return nil
}

func (g *group) instance() *string {
	if g.cfg.InstanceID == "" {
		return nil
	}
	return kmsg.StringPtr(g.cfg.InstanceID)
}
