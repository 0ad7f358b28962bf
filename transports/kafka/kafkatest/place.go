// Package kafkatest makes a Kafka cluster, real or fake, a place for the
// suites of package conformance: with a network that can be cut, answers that
// get lost, members that are expelled, and transactions of another program. It
// is for tests.
package kafkatest

import (
	"context"
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"github.com/twmb/franz-go/pkg/kversion"

	"github.com/weirstream/weir/conformance"
	"github.com/weirstream/weir/core/record"
	"github.com/weirstream/weir/runtime"
	"github.com/weirstream/weir/transports/kafka"
)

// Can lists what a Place can do. TransportPlace.Compact is the caller's to
// set, where the cluster can be told to.
func Can() []conformance.Capability {
	return []conformance.Capability{
		conformance.Expels, conformance.ForeignTransactions, conformance.LosesAnswers,
		conformance.TimesOut, conformance.GoesAway, conformance.StaticMembers,
	}
}

// Place returns a place on the cluster of cfg. prefix is put before all names.
// cfg.Dialer, or plain TCP, is what connections are made with.
func Place(tb conformance.TB, cfg kafka.Config, prefix string) conformance.TransportPlace {
	if cfg.Dialer == nil {
		cfg.Dialer = (&net.Dialer{}).DialContext
	}
	// The place's own client keeps its connections when the network of the
	// transports is cut.
	own := []kgo.Opt{kgo.SeedBrokers(cfg.Brokers...), kgo.Dialer(cfg.Dialer)}
	network := &network{dialer: cfg.Dialer}
	cfg.Dialer = network.dial
	connect := func(timeout time.Duration) func() (runtime.Transport, error) {
		cfg := cfg
		if timeout > 0 {
			cfg.TransactionTimeout = timeout
		}
		return func() (runtime.Transport, error) { return kafka.New(cfg) }
	}
	return conformance.TransportPlace{
		Prefix:  prefix,
		Connect: connect(0), ConnectHasty: connect(time.Second),
		Expel:   func(group, memberID string) error { return expel(own, group, memberID) },
		Begin:   func(id string) (conformance.ForeignTransaction, error) { return begin(tb, own, id) },
		LoseEnd: network.loseEnd,
		Stop:    func() error { network.cut(); return nil },
		Start:   func() error { network.mend(); return nil },
	}
}

// patience bounds what the place does by itself.
const patience = 30 * time.Second

// expel removes a member from its group by the request that an operator's tool
// uses (KIP-345).
func expel(opts []kgo.Opt, group, memberID string) error {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	cl, err := kgo.NewClient(opts...)
	if err != nil {
		return err
	}
	defer cl.Close()
	req := kmsg.NewPtrLeaveGroupRequest()
	req.Group = group
	m := kmsg.NewLeaveGroupRequestMember()
	m.MemberID = memberID
	req.Members = append(req.Members, m)
	resp, err := req.RequestWith(ctx, cl)
	if err != nil {
		return err
	}
	for _, m := range resp.Members {
		if err := kerr.ErrorForCode(m.ErrorCode); err != nil {
			return fmt.Errorf("expelling %s: %w", memberID, err)
		}
	}
	return kerr.ErrorForCode(resp.ErrorCode)
}

// foreign is a transaction of a client that is not the transport.
type foreign struct {
	cl *kgo.Client
	id string
}

func begin(tb conformance.TB, opts []kgo.Opt, id string) (conformance.ForeignTransaction, error) {
	// Version 5 of TxnOffsetCommit is for clients that leave
	// AddOffsetsToTxn out (KIP-890).
	versions := kversion.Stable()
	versions.SetMaxKeyVersion(kmsg.TxnOffsetCommit.Int16(), 4)
	cl, err := kgo.NewClient(append([]kgo.Opt{
		kgo.TransactionalID(id), kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.MaxVersions(versions), kgo.ProducerLinger(0),
	}, opts...)...)
	if err != nil {
		return nil, err
	}
	tb.Cleanup(cl.Close)
	return foreign{cl, id}, cl.BeginTransaction()
}

// Append implements conformance.ForeignTransaction.
func (f foreign) Append(ctx context.Context, recs []record.Record) error {
	var out []*kgo.Record
	for i := range recs {
		r := &recs[i]
		out = append(out, &kgo.Record{Topic: r.Topic, Partition: r.Partition, Key: r.Key, Value: r.Value, Timestamp: time.UnixMilli(r.Time)})
	}
	return f.cl.ProduceSync(ctx, out...).FirstErr()
}

// Offsets implements conformance.ForeignTransaction.
func (f foreign) Offsets(ctx context.Context, group, memberID string, generation int32, offsets map[record.TopicPartition]runtime.Offset) error {
	pid, epoch, err := f.cl.ProducerID(ctx)
	if err != nil {
		return err
	}
	add := kmsg.NewPtrAddOffsetsToTxnRequest()
	add.TransactionalID, add.ProducerID, add.ProducerEpoch, add.Group = f.id, pid, epoch, group
	added, err := add.RequestWith(ctx, f.cl)
	if err == nil {
		err = kerr.ErrorForCode(added.ErrorCode)
	}
	if err != nil {
		return err
	}
	req := kmsg.NewPtrTxnOffsetCommitRequest()
	req.TransactionalID, req.ProducerID, req.ProducerEpoch = f.id, pid, epoch
	req.Group, req.MemberID, req.Generation = group, memberID, generation
	for tp, o := range offsets {
		t := kmsg.NewTxnOffsetCommitRequestTopic()
		t.Topic = tp.Topic
		p := kmsg.NewTxnOffsetCommitRequestTopicPartition()
		p.Partition, p.Offset, p.Metadata = tp.Partition, o.At, kmsg.StringPtr(o.Metadata)
		t.Partitions = append(t.Partitions, p)
		req.Topics = append(req.Topics, t)
	}
	resp, err := req.RequestWith(ctx, f.cl)
	if err != nil {
		return err
	}
	var errs []error
	for _, t := range resp.Topics {
		for _, p := range t.Partitions {
			errs = append(errs, kerr.ErrorForCode(p.ErrorCode))
		}
	}
	return errors.Join(errs...)
}

// End implements conformance.ForeignTransaction.
func (f foreign) End(ctx context.Context, commit bool) error {
	return f.cl.EndTransaction(ctx, kgo.TransactionEndTry(commit))
}
