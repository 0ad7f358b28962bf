package memory

import (
	"errors"
	"fmt"

	"github.com/weirstream/weir/core/record"
	"github.com/weirstream/weir/runtime"
)

// Conditions beside runtime.ErrFenced and runtime.ErrOffsetOutOfRange, which
// the Broker returns as well.
var (
	// ErrTopicExists is returned by Broker.CreateTopic for a topic that is
	// there.
	ErrTopicExists = errors.New("memory: topic exists")
	// ErrUnknownPartition says that the topic does not exist or has fewer
	// partitions.
	ErrUnknownPartition = errors.New("memory: unknown topic or partition")
	// ErrInvalidTopic says that a topic cannot be made like that.
	ErrInvalidTopic = errors.New("memory: invalid topic")
	// ErrPolicy says that the topic's cleanup.policy forbids the operation.
	ErrPolicy = errors.New("memory: not allowed by the topic's cleanup.policy")
	// ErrNoKey refuses a record without a key on a compacted topic.
	ErrNoKey = errors.New("memory: a compacted topic takes no record without a key")
	// ErrTooLarge refuses a record beyond the topic's max.message.bytes.
	ErrTooLarge = errors.New("memory: the record is too large")
	// ErrTxnState says that the producer has no transaction to end, or that
	// it was ended the other way already.
	ErrTxnState = errors.New("memory: no such transaction is open")
	// ErrUnknownMember refuses a commit of somebody who is not, or no
	// longer, in the group.
	ErrUnknownMember = errors.New("memory: unknown group member")
	// ErrIllegalGeneration refuses a commit under an old generation.
	ErrIllegalGeneration = errors.New("memory: illegal group generation")
)

func unknown(tp record.TopicPartition) error {
	return fmt.Errorf("%w: %v; create the topic first", ErrUnknownPartition, tp)
}

func outOfRange(tp record.TopicPartition, at int64, r runtime.LogRange) error {
	return fmt.Errorf("%w: %v holds %d to %d, asked for %d", runtime.ErrOffsetOutOfRange, tp, r.Start, r.End, at)
}
