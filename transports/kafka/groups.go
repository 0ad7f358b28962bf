package kafka

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"

	"github.com/weirstream/weir/core/record"
)

// A GroupMember is an active member of a consumer group.
type GroupMember struct {
	// ID is the member ID, Instance the name of a static member or empty,
	// and Host where the broker sees it.
	ID, Instance, Host string
	// Assigned are its partitions, ordered.
	Assigned []record.TopicPartition
}

func (m GroupMember) String() string {
	if m.Instance != "" {
		return m.Instance + " at " + m.Host
	}
	return m.ID + " at " + m.Host
}

// GroupMembers describes the active members of a consumer group, ordered by
// member ID; a group that does not exist has none.
func (t *Transport) GroupMembers(ctx context.Context, group string) ([]GroupMember, error) {
	var members []GroupMember
	err := t.retry(ctx, func(ctx context.Context) error {
		described, err := t.adm.DescribeGroups(ctx, group)
		if err != nil {
			return err
		}
		d := described[group]
		if d.Err != nil && !errors.Is(d.Err, kerr.GroupIDNotFound) {
			return d.Err
		}
		members = members[:0]
		for _, m := range d.Members {
			members = append(members, memberOf(m))
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("kafka: describe group %s: %w", group, err)
	}
	slices.SortFunc(members, func(a, b GroupMember) int { return strings.Compare(a.ID, b.ID) })
	return members, nil
}

func memberOf(d kadm.DescribedGroupMember) GroupMember {
	m := GroupMember{ID: d.MemberID, Host: d.ClientHost}
	if d.InstanceID != nil {
		m.Instance = *d.InstanceID
	}
	if a, ok := d.Assigned.AsConsumer(); ok {
		for _, t := range a.Topics {
			for _, p := range t.Partitions {
				m.Assigned = append(m.Assigned, record.TopicPartition{Topic: t.Topic, Partition: p})
			}
		}
	}
	slices.SortFunc(m.Assigned, record.TopicPartition.Compare)
	return m
}

// GroupOffsets returns the committed offsets of a group, without waiting for
// pending transactions.
func (t *Transport) GroupOffsets(ctx context.Context, group string) (map[record.TopicPartition]int64, error) {
	offsets := make(map[record.TopicPartition]int64)
	err := t.retry(ctx, func(ctx context.Context) error {
		got, err := t.adm.FetchOffsets(ctx, group)
		if errors.Is(err, kerr.GroupIDNotFound) {
			return nil
		}
		if err != nil {
			return err
		}
		got.Each(func(o kadm.OffsetResponse) {
			if o.Err == nil && o.At >= 0 {
				offsets[record.TopicPartition{Topic: o.Topic, Partition: o.Partition}] = o.At
			}
		})
		return got.Error()
	})
	if err != nil {
		return nil, fmt.Errorf("kafka: committed offsets of group %s: %w", group, err)
	}
	return offsets, nil
}

// DeleteGroup deletes a group with its committed offsets; deleting one that
// does not exist is fine. It fails while the group has members.
func (t *Transport) DeleteGroup(ctx context.Context, group string) error {
	err := t.retry(ctx, func(ctx context.Context) error {
		_, err := t.adm.DeleteGroup(ctx, group)
		if errors.Is(err, kerr.GroupIDNotFound) {
			return nil
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("kafka: delete group %s: %w", group, err)
	}
	return nil
}
