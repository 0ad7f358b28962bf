package devbroker_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"github.com/weirstream/weir/tools/devbroker"
)

// These tests hold what exactly-once needs of a broker, so that a new version
// of kfake which breaks one of them is noticed here.

func start(t *testing.T) *devbroker.Broker {
	t.Helper()
	b, err := devbroker.Start(devbroker.Config{Partitions: 1})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Close)
	return b
}

func client(t *testing.T, b *devbroker.Broker, opts ...kgo.Opt) *kgo.Client {
	t.Helper()
	cl, err := kgo.NewClient(append([]kgo.Opt{
		kgo.SeedBrokers(b.Addr()), kgo.DefaultProduceTopic("in"), kgo.FetchMaxWait(200 * time.Millisecond),
	}, opts...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cl.Close)
	return cl
}

func topics(t *testing.T, b *devbroker.Broker, names ...string) {
	t.Helper()
	if _, err := kadm.NewClient(client(t, b)).CreateTopics(timeout(t), 1, 1, nil, names...); err != nil {
		t.Fatal(err)
	}
}

func timeout(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	t.Cleanup(cancel)
	return ctx
}

func send(t *testing.T, cl *kgo.Client, value string) error {
	t.Helper()
	return cl.ProduceSync(timeout(t), kgo.StringRecord(value)).FirstErr()
}

func begin(t *testing.T, cl *kgo.Client, value string) {
	t.Helper()
	if err := cl.BeginTransaction(); err != nil {
		t.Fatal(err)
	}
	if err := send(t, cl, value); err != nil {
		t.Fatal(err)
	}
}

func commit(t *testing.T, cl *kgo.Client) {
	t.Helper()
	if err := cl.EndTransaction(timeout(t), kgo.TryCommit); err != nil {
		t.Fatal(err)
	}
}

func reader(t *testing.T, b *devbroker.Broker) *kgo.Client {
	t.Helper()
	return client(t, b, kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{"in": {0: kgo.NewOffset().AtStart()}}))
}

// next returns the next committed value.
func next(t *testing.T, cl *kgo.Client) string {
	t.Helper()
	fetches := cl.PollRecords(timeout(t), 1)
	if err := fetches.Err(); err != nil {
		t.Fatal(err)
	}
	return string(fetches.Records()[0].Value)
}

func TestReadCommittedStopsAtTheOpenTransaction(t *testing.T) {
	t.Parallel()
	b := start(t)
	topics(t, b, "in")
	open := client(t, b, kgo.TransactionalID("open"))
	begin(t, open, "first")
	if err := send(t, client(t, b), "second"); err != nil {
		t.Fatal(err)
	}
	end, err := kadm.NewClient(client(t, b)).ListCommittedOffsets(timeout(t), "in")
	if o, _ := end.Lookup("in", 0); err != nil || o.Offset != 0 {
		t.Fatalf("last stable offset %d, %v; want 0, before the open transaction", o.Offset, err)
	}
	commit(t, open)
	r := reader(t, b)
	if a, b := next(t, r), next(t, r); a != "first" || b != "second" {
		t.Errorf("read %s, %s", a, b)
	}
}

func TestTransactionOfACrashedProducerTimesOut(t *testing.T) {
	t.Parallel()
	b := start(t)
	topics(t, b, "in")
	crashed := client(t, b, kgo.TransactionalID("crashed"), kgo.TransactionTimeout(time.Second))
	begin(t, crashed, "lost")
	if err := send(t, client(t, b), "kept"); err != nil {
		t.Fatal(err)
	}
	// Nobody ends the transaction; the reader gets on when the broker does.
	if got := next(t, reader(t, b)); got != "kept" {
		t.Errorf("read %q, want kept", got)
	}
	if err := send(t, crashed, "late"); !errors.Is(err, kerr.InvalidProducerEpoch) && !errors.Is(err, kerr.ProducerFenced) &&
		!errors.Is(err, kerr.InvalidTxnState) {
		t.Errorf("the producer that timed out got %v, want to be fenced", err)
	}
}

// topicID is what newer versions of requests name a topic by.
func topicID(t *testing.T, cl *kgo.Client) [16]byte {
	t.Helper()
	details, err := kadm.NewClient(cl).ListTopics(timeout(t), "in")
	if err != nil {
		t.Fatal(err)
	}
	return details["in"].ID
}

// stageOffset adds a group's offset to the producer's open transaction, the
// way a member with the given generation would.
func stageOffset(t *testing.T, cl *kgo.Client, member string, generation int32) *kmsg.TxnOffsetCommitResponse {
	t.Helper()
	id, epoch, err := cl.ProducerID(timeout(t))
	if err != nil {
		t.Fatal(err)
	}
	add := kmsg.NewPtrAddOffsetsToTxnRequest()
	add.TransactionalID, add.ProducerID, add.ProducerEpoch, add.Group = "tx", id, epoch, "group"
	if _, err := add.RequestWith(timeout(t), cl); err != nil {
		t.Fatal(err)
	}
	req := kmsg.NewPtrTxnOffsetCommitRequest()
	req.TransactionalID, req.ProducerID, req.ProducerEpoch, req.Group = "tx", id, epoch, "group"
	req.MemberID, req.Generation = member, generation
	rt := kmsg.NewTxnOffsetCommitRequestTopic()
	rt.Topic = "in"
	rt.TopicID = topicID(t, cl)
	rp := kmsg.NewTxnOffsetCommitRequestTopicPartition()
	rp.Offset = 7
	rt.Partitions = append(rt.Partitions, rp)
	req.Topics = append(req.Topics, rt)
	resp, err := req.RequestWith(timeout(t), cl)
	if err != nil {
		t.Fatal(err)
	}
	return resp
}

func TestPendingOffsetsAreUnstable(t *testing.T) {
	t.Parallel()
	b := start(t)
	topics(t, b, "in")
	tx := client(t, b, kgo.TransactionalID("tx"))
	begin(t, tx, "v")

	var offsets kadm.Offsets
	offsets.AddOffset("in", 0, 1, -1)
	if err := kadm.NewClient(client(t, b)).CommitAllOffsets(timeout(t), "group", offsets); err != nil {
		t.Fatal(err)
	}
	if resp := stageOffset(t, tx, "", -1); resp.Topics[0].Partitions[0].ErrorCode != 0 {
		t.Fatalf("stage: %v", kerr.ErrorForCode(resp.Topics[0].Partitions[0].ErrorCode))
	}
	fetch := func() kmsg.OffsetFetchResponseGroupTopicPartition {
		req := kmsg.NewPtrOffsetFetchRequest()
		req.RequireStable = true
		g := kmsg.NewOffsetFetchRequestGroup()
		g.Group = "group"
		gt := kmsg.NewOffsetFetchRequestGroupTopic()
		gt.Topic, gt.TopicID, gt.Partitions = "in", topicID(t, tx), []int32{0}
		g.Topics = append(g.Topics, gt)
		req.Groups = append(req.Groups, g)
		req.Group = "group"
		resp, err := req.RequestWith(timeout(t), client(t, b, kgo.RequestRetries(0)))
		if err != nil {
			t.Fatal(err)
		}
		return resp.Groups[0].Topics[0].Partitions[0]
	}
	if got := fetch(); !errors.Is(kerr.ErrorForCode(got.ErrorCode), kerr.UnstableOffsetCommit) {
		t.Errorf("while pending: offset %d, %v; want UNSTABLE_OFFSET_COMMIT", got.Offset, kerr.ErrorForCode(got.ErrorCode))
	}
	commit(t, tx)
	if got := fetch(); got.ErrorCode != 0 || got.Offset != 7 {
		t.Errorf("after the commit: offset %d, %v; want 7", got.Offset, kerr.ErrorForCode(got.ErrorCode))
	}
}

func TestOffsetsOfAStrangerAreRefused(t *testing.T) {
	t.Parallel()
	b := start(t)
	topics(t, b, "in")
	member := client(t, b, kgo.ConsumerGroup("group"), kgo.ConsumeTopics("in"))
	if err := send(t, client(t, b), "v"); err != nil {
		t.Fatal(err)
	}
	next(t, member) // it has joined
	id, generation := member.GroupMetadata()

	tx := client(t, b, kgo.TransactionalID("tx"))
	begin(t, tx, "v")
	tests := []struct {
		name       string
		member     string
		generation int32
		want       error
	}{
		{"unknown member", "stranger", generation, kerr.UnknownMemberID},
		{"older generation", id, generation - 1, kerr.IllegalGeneration},
		{"the member", id, generation, nil},
	}
	for _, tt := range tests {
		resp := stageOffset(t, tx, tt.member, tt.generation)
		if err := kerr.ErrorForCode(resp.Topics[0].Partitions[0].ErrorCode); !errors.Is(err, tt.want) {
			t.Errorf("%s: %v, want %v", tt.name, err, tt.want)
		}
	}
}
