package runtime

import (
	"context"
	"errors"
	"time"

	"github.com/weirstream/weir/core/record"
	"github.com/weirstream/weir/core/store"
)

// Conditions of a transport that the worker branches on.
var (
	// ErrFenced marks a producer or member that a newer one has replaced.
	ErrFenced = errors.New("transport: fenced")
)

// A Transport connects a worker to Kafka or to something that behaves like
// it. Its methods are safe for concurrent use. Calls wait with backoff while
// brokers are away and return only when they succeeded, when retrying cannot
// help, or when their context ends.
type Transport interface {
	// Topics describes the named topics; those that do not exist are absent
	// from the result. With no names it describes all topics.
	Topics(ctx context.Context, names ...string) (map[string]TopicInfo, error)
	// CreateTopics creates those of the topics that do not exist, in one
	// request, and returns the names of those it made, also with an error.
	// What one of them is refused for does not keep the others from being
	// made.
	CreateTopics(ctx context.Context, topics map[string]TopicSpec) ([]string, error)
	// DeleteTopic deletes a topic; deleting one that is absent is fine.
	DeleteTopic(ctx context.Context, name string) error
	// Offsets returns the log start and the high watermark (the end,
	// uncommitted records included) of each partition.
	Offsets(ctx context.Context, parts []record.TopicPartition) (map[record.TopicPartition]LogRange, error)
	// DeleteRecords deletes the records before the given offsets, where the
	// topic allows it; it is best effort.
	DeleteRecords(ctx context.Context, before map[record.TopicPartition]int64) error
	// Join makes the caller a member of the consumer group and returns at
	// once; assignments arrive through the listener.
	Join(ctx context.Context, cfg GroupConfig, l Listener) (Group, error)
	// Fetcher returns a new reader of committed records, with connections
	// and buffers of its own.
	Fetcher(cfg FetchConfig) (Fetcher, error)
	// Producer returns a new producer. With a transactional ID it fences
	// every older producer of the same ID and aborts what that one left
	// open before it returns; with an empty one it is idempotent only.
	Producer(ctx context.Context, transactionalID string) (Producer, error)
	Close() error
}

// A TopicInfo describes a topic.
type TopicInfo struct {
	Partitions int32
	Replicas   int16
	// Config holds at least cleanup.policy, retention.ms and
	// retention.bytes as the broker has them.
	Config map[string]string
}

// A TopicSpec says how to create a topic.
type TopicSpec struct {
	Partitions int32
	// Replicas is the replication factor; -1 takes the broker's default.
	Replicas int16
	Config   map[string]string
}

// A LogRange is what a partition holds: Start <= offset < End.
type LogRange struct {
	Start, End int64
	// Topic is the identity of the topic at that moment. A topic that was
	// deleted and created anew has another; zero when the brokers have none.
	Topic store.LogID
}

// A GroupConfig says how to join a group.
type GroupConfig struct {
	Group string
	// Topics are all sources; the assignor decides who reads what.
	Topics []string
	// Assignor is the decision, made by the leader of the group.
	Assignor Assignor
	// InstanceID is for static membership (KIP-345), or empty.
	InstanceID string
	// Session, Rebalance and Heartbeat are the group's timeouts; zero takes
	// the transport's default (45 s, 60 s, 3 s).
	Session, Rebalance, Heartbeat time.Duration
	// RevokeBudget is how long Listener.Revoked may take.
	RevokeBudget time.Duration
}

// An Assignor assigns partitions; package core/assign is behind it.
type Assignor interface {
	// Name is the group protocol's name.
	Name() string
	// UserData is what this member tells the leader: previous tasks.
	UserData() []byte
	// Assign maps member IDs to the partitions they get. members holds each
	// member's user data; partitions the partition count of each topic.
	Assign(members map[string]Member, partitions map[string]int32) (map[string][]record.TopicPartition, error)
}

// A Briefer is an Assignor that has more to say to members than which
// partitions they get. Transports carry it in the user data of the assignment,
// and ask Brief in place of Assign.
type Briefer interface {
	Assignor
	// Brief is Assign, and returns what each member is to be told beside its
	// partitions; a member without an entry is told nothing.
	Brief(members map[string]Member, partitions map[string]int32) (plan map[string][]record.TopicPartition, briefs map[string][]byte, err error)
}

// A Member is what the leader knows of one member of the group.
type Member struct {
	UserData []byte
	// Owned are the partitions that it holds now (cooperative protocol).
	Owned []record.TopicPartition
}

// A Listener hears of assignments. Calls come one at a time from a goroutine
// of the transport; while one runs, the group waits.
type Listener interface {
	// Assigned says that the partitions are ours from now on, besides those
	// that were before; there may be none. session grows with each call and
	// whenever ownership was lost.
	Assigned(session int64, parts []record.TopicPartition)
	// Revoked asks for the partitions back. Until it returns, commits for
	// them are still accepted; ctx ends when the budget is used up.
	Revoked(ctx context.Context, parts []record.TopicPartition)
	// Lost says that the partitions belong to somebody else already.
	// Nothing can be committed for them.
	Lost(parts []record.TopicPartition)
}

// A BriefedListener is a Listener that also hears what a Briefer had to say.
type BriefedListener interface {
	Listener
	// Briefed is called once for each generation of the group, also when no
	// partition moves: after Revoked, and before Assigned. brief is empty when
	// the leader had nothing to say.
	Briefed(brief []byte)
}

// An ExpelledListener is a Listener that also hears when the group took its
// member in anew, as somebody else.
type ExpelledListener interface {
	Listener
	// Expelled is called once, after Lost: the membership commits nothing any
	// more. The listener leaves, and joins again.
	Expelled(err error)
}

// A Group is a membership.
type Group interface {
	// Committed returns the committed offsets of the group. It waits until
	// no transaction is pending on them (KIP-447), so that a successor
	// never starts before what its predecessor committed. Partitions
	// without a committed offset are absent.
	Committed(ctx context.Context, parts []record.TopicPartition) (map[record.TopicPartition]Offset, error)
	// Commit commits offsets without a transaction, under the claim.
	Commit(ctx context.Context, c Claim, offsets map[record.TopicPartition]Offset) error
	// Member returns the current member ID and group generation.
	Member() (id string, generation int32)
	// Leave leaves the group and ends the membership. The listener hears
	// nothing any more.
	Leave(ctx context.Context) error
}

// An Offset is a committed offset: that of the next record to read, with the
// metadata string stored beside it.
type Offset struct {
	At       int64
	Metadata string
}

// A Claim is checked by the transport after it has read the membership that
// it will show to the broker and before it sends: it returns an error when
// the caller no longer owns what it wants to commit. This order is what makes
// a zombie's commit fail (see docs/design/ownership.md).
type Claim func() error

// A FetchConfig bounds a fetcher.
type FetchConfig struct {
	// MaxBytes bounds what is buffered, roughly; zero means 64 MiB.
	MaxBytes int
	// FromLog is for restore: large fetches, no wait for small ones.
	FromLog bool
	// Wait is how long brokers hold back what they have nothing for yet; what
	// is set meanwhile may wait as long. Zero, or more than the transport's
	// own, takes that.
	Wait time.Duration
	// Idle is how often a partition that is read to its end says so: with a
	// Batch that has no records, the Next of the one before, and a new Whole.
	// Zero means never.
	Idle time.Duration
}

// A Fetcher reads partitions from given offsets, read committed. Its methods
// are for one goroutine, save Close, which may be called from any.
type Fetcher interface {
	// Set starts reading each partition at the offset given, or moves there,
	// and ends its pause. After it returns, Poll returns nothing that was
	// fetched for those partitions before.
	Set(at map[record.TopicPartition]int64)
	// Remove stops reading the partitions, likewise.
	Remove(parts []record.TopicPartition)
	// Pause keeps partitions from being fetched, Resume lets them on; the
	// position is kept and no record is lost or repeated.
	Pause(parts []record.TopicPartition)
	Resume(parts []record.TopicPartition)
	// Poll waits for records and returns them, at most max (0: no limit),
	// in offset order within a partition. It returns early with what it has
	// when ctx ends. Errors that retrying cannot help, such as an offset out
	// of range, come as a batch with Err set.
	Poll(ctx context.Context, max int) []Batch
	Close()
}

// A Batch is a run of records of one partition.
type Batch struct {
	TP record.TopicPartition
	// Records are owned by the receiver and stay valid.
	Records []record.Record
	// Next is the offset after this batch, control records and aborted
	// records included: a reader that has Next has seen all below it. Poll
	// gives a batch without records when only Next moves, and as often as
	// FetchConfig.Idle says when nothing does.
	Next int64
	// Read is when the broker's answer came. Before and Whole are times at which
	// readers of committed records found nothing to read, at the offset where the
	// batch begins or beyond, and at Next or beyond: when the question was asked
	// that the broker answered up to its last stable offset. Before is zero when
	// that was never seen since Set, Whole when there was more to read.
	//
	// How long ago that was tells whether compaction may have removed deletions
	// that the reader never saw (delete.retention.ms).
	Read, Before, Whole time.Time
	// HighWatermark is the end of the partition as last seen: Next or more.
	HighWatermark int64
	Err           error
}

// ErrOffsetOutOfRange is the Err of a Batch whose partition was set to an
// offset that the log does not hold. The partition is removed.
var ErrOffsetOutOfRange = errors.New("transport: offset out of range")

// A Producer sends the output of commit rounds. Commit is for one goroutine.
type Producer interface {
	// Commit sends everything in c. A transactional producer does it in one
	// transaction; an idempotent one sends, waits for all acks, then
	// commits the offsets. The records may be reused once it returns.
	Commit(ctx context.Context, c Commit) Result
	// Recover makes the producer usable again after an Unknown outcome: it
	// fences itself (new epoch), so that whatever was on its way is decided.
	Recover(ctx context.Context) error
	Close()
}

// A Commit is one round.
type Commit struct {
	// Records are outputs and changelog records with their partition set.
	Records [][]record.Record
	// Group, Offsets and Claim commit the input offsets.
	Group   Group
	Offsets map[record.TopicPartition]Offset
	Claim   Claim
}

// An Outcome says what became of a round.
type Outcome uint8

const (
	// Committed: everything is durable and visible.
	Committed Outcome = iota
	// Aborted: nothing is visible and never will be.
	Aborted
	// Unknown: it may become either.
	Unknown
	// Fenced: a newer producer or owner exists; nothing of the round is
	// visible, and this producer is of no more use.
	Fenced
)

func (o Outcome) String() string {
	return [...]string{"committed", "aborted", "unknown", "fenced"}[o]
}

// A Result is the outcome of a round.
type Result struct {
	Outcome Outcome
	// Next holds, for each partition written to, the offset after the last
	// record of this round. Only for Committed.
	Next map[record.TopicPartition]int64
	Err  error
}
