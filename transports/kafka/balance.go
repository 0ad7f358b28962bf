package kafka

import (
	"fmt"
	"maps"
	"slices"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/weirstream/weir/core/record"
	"github.com/weirstream/weir/runtime"
)

// balancer makes a group balancer of franz-go from an assignor. It speaks the
// consumer protocol, cooperatively (KIP-429), so that kafka-consumer-groups
// and its like can show the group.
type balancer struct {
	assignor runtime.Assignor
	// hear is called with the user data of each assignment.
	hear func(brief []byte)
	// joining is asked what to say of what is owned.
	joining func(owned map[string][]int32) map[string][]int32
	// planned is told of each plan that this member makes as leader, and
	// whether it keeps partitions back until their owners gave them up.
	planned func(withheld bool)
}

var (
	_ kgo.GroupBalancer           = balancer{}
	_ kgo.ConsumerBalancerBalance = balancer{}
)

func (b balancer) ProtocolName() string { return b.assignor.Name() }
func (b balancer) IsCooperative() bool  { return true }

// JoinGroupMetadata carries the assignor's user data and what is owned, with
// the generation in which it was (KIP-792).
func (b balancer) JoinGroupMetadata(topics []string, owned map[string][]int32, generation int32) []byte {
	meta := kmsg.NewConsumerMemberMetadata()
	meta.Version = 3
	meta.Topics = topics
	meta.UserData = b.assignor.UserData()
	meta.Generation = generation
	owned = b.joining(owned)
	for _, topic := range slices.Sorted(maps.Keys(owned)) {
		part := kmsg.NewConsumerMemberMetadataOwnedPartition()
		part.Topic = topic
		part.Partitions = owned[topic]
		meta.OwnedPartitions = append(meta.OwnedPartitions, part)
	}
	return meta.AppendTo(nil)
}

func (b balancer) ParseSyncAssignment(assignment []byte) (map[string][]int32, error) {
	parts, err := kgo.ParseConsumerSyncAssignment(assignment)
	if err != nil {
		return nil, err
	}
	var a kmsg.ConsumerMemberAssignment
	if len(assignment) > 0 {
		if err := a.ReadFrom(assignment); err != nil {
			return nil, fmt.Errorf("reading the user data of an assignment: %w", err)
		}
	}
	b.hear(slices.Clone(a.UserData))
	return parts, nil
}

func (b balancer) MemberBalancer(members []kmsg.JoinGroupResponseMember) (kgo.GroupMemberBalancer, map[string]struct{}, error) {
	cb, err := kgo.NewConsumerBalancer(b, members)
	if err != nil {
		return nil, nil, err
	}
	return cb, cb.MemberTopics(), nil
}

// Balance lets the assignor decide, then takes from the plan what its present
// owner has to give up first.
func (b balancer) Balance(cb *kgo.ConsumerBalancer, partitions map[string]int32) kgo.IntoSyncAssignment {
	assigned, briefs, err := assign(b.assignor, membersOf(cb), partitions)
	if err != nil {
		cb.SetError(fmt.Errorf("assignor %s: %w", b.assignor.Name(), err))
		return nil
	}
	plan := cb.NewPlan()
	byID := plan.AsMemberIDMap()
	taken := map[record.TopicPartition]string{}
	for _, id := range slices.Sorted(maps.Keys(assigned)) {
		if byID[id] == nil {
			cb.SetError(fmt.Errorf("assignor %s: gave partitions to %q, who is no member", b.assignor.Name(), id))
			return nil
		}
		for _, tp := range assigned[id] {
			if other, dup := taken[tp]; dup {
				cb.SetError(fmt.Errorf("assignor %s: gave %v to both %q and %q", b.assignor.Name(), tp, other, id))
				return nil
			}
			taken[tp] = id
			byID[id][tp.Topic] = append(byID[id][tp.Topic], tp.Partition)
		}
	}
	plan.AdjustCooperative(cb)
	kept := 0
	for _, topics := range plan.AsMemberIDMap() {
		for _, parts := range topics {
			kept += len(parts)
		}
	}
	b.planned(kept < len(taken))
	if len(briefs) == 0 {
		return plan
	}
	return briefedPlan{plan, briefs}
}

// assign asks an assignor for its plan, and for what members are to be told if
// it has something to say.
func assign(a runtime.Assignor, members map[string]runtime.Member, partitions map[string]int32) (map[string][]record.TopicPartition, map[string][]byte, error) {
	if b, ok := a.(runtime.Briefer); ok {
		return b.Brief(members, partitions)
	}
	plan, err := a.Assign(members, partitions)
	return plan, nil, err
}

// A briefedPlan adds user data to the assignments of a plan.
type briefedPlan struct {
	plan   kgo.IntoSyncAssignment
	briefs map[string][]byte
}

// IntoSyncAssignment implements kgo.IntoSyncAssignment.
func (p briefedPlan) IntoSyncAssignment() []kmsg.SyncGroupRequestGroupAssignment {
	out := p.plan.IntoSyncAssignment()
	for i := range out {
		brief := p.briefs[out[i].MemberID]
		var a kmsg.ConsumerMemberAssignment
		if len(brief) == 0 || a.ReadFrom(out[i].MemberAssignment) != nil {
			continue
		}
		a.UserData = brief
		out[i].MemberAssignment = a.AppendTo(nil)
	}
	return out
}

// membersOf collects what members said. Where two claim a partition, the one
// that saw the later generation owns it: the other has slept through its
// revocation.
func membersOf(cb *kgo.ConsumerBalancer) map[string]runtime.Member {
	latest := map[record.TopicPartition]int32{}
	eachOwned := func(fn func(id string, generation int32, tp record.TopicPartition)) {
		cb.EachMember(func(m *kmsg.JoinGroupResponseMember, meta *kmsg.ConsumerMemberMetadata) {
			for _, o := range meta.OwnedPartitions {
				for _, p := range o.Partitions {
					fn(m.MemberID, meta.Generation, record.TopicPartition{Topic: o.Topic, Partition: p})
				}
			}
		})
	}
	members := map[string]runtime.Member{}
	cb.EachMember(func(m *kmsg.JoinGroupResponseMember, meta *kmsg.ConsumerMemberMetadata) {
		members[m.MemberID] = runtime.Member{UserData: meta.UserData}
	})
	eachOwned(func(_ string, generation int32, tp record.TopicPartition) {
		if g, ok := latest[tp]; !ok || generation > g {
			latest[tp] = generation
		}
	})
	eachOwned(func(id string, generation int32, tp record.TopicPartition) {
		if generation == latest[tp] {
			m := members[id]
			m.Owned = append(m.Owned, tp)
			members[id] = m
		}
	})
	return members
}
