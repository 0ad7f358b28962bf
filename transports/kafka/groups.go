package kafka

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"

	"github.com/weirstream/weir/core/record"
)

// GroupMembers describes the active members of a consumer group, ordered; a
// group that does not exist has none.
func (t *Transport) GroupMembers(ctx context.Context, group string) ([]string, error) {
	var members []string
	err := retry(ctx, func() error {
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
			name := m.MemberID
			if m.InstanceID != nil {
				name = *m.InstanceID
			}
			members = append(members, fmt.Sprintf("%s at %s", name, m.ClientHost))
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("kafka: describe group %s: %w", group, err)
	}
	slices.Sort(members)
	return members, nil
}

// GroupOffsets returns the committed offsets of a group, without waiting for
// pending transactions.
func (t *Transport) GroupOffsets(ctx context.Context, group string) (map[record.TopicPartition]int64, error) {
	offsets := make(map[record.TopicPartition]int64)
	err := retry(ctx, func() error {
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
	err := retry(ctx, func() error {
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
