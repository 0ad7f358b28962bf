package cluster

import (
	"context"
	"encoding/binary"
	"hash/crc32"
	"slices"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/weirstream/weir/core/topology"
	"github.com/weirstream/weir/sim/check"
)

// This file works round what kfake does differently from Kafka: its retention
// and compaction, what it says of transactions after that, and members of groups
// that nobody is any more. Each has a test (TestKfake…) that fails once it is not
// needed any more. The timeouts in world.go are the rest.

// watchTopics has new topics made as Kafka has them, and what is written to them
// if it is compacted in this run.
func (w *world) watchTopics() {
	w.fake.ControlKey(int16(kmsg.CreateTopics), func(r kmsg.Request) (kmsg.Response, error, bool) {
		w.fake.KeepControl()
		w.setRetention(r)
		go w.identify() // once they are there
		return nil, nil, false
	})
	if !slices.ContainsFunc(w.plan, compacts) {
		return
	}
	w.fake.ControlKey(int16(kmsg.Produce), func(r kmsg.Request) (kmsg.Response, error, bool) {
		w.fake.KeepControl()
		w.stampOnAppend(r)
		return nil, nil, false
	})
}

// setRetention gives new topics the brokers' time for deletions, which kfake has
// no default for, and works round kfake, whose compaction deletes by age from
// topics that are compacted only.
func (w *world) setRetention(r kmsg.Request) {
	req, ok := r.(*kmsg.CreateTopicsRequest)
	if !ok {
		return
	}
	for i := range req.Topics {
		t := &req.Topics[i]
		set := func(name, value string) {
			t.Configs = slices.DeleteFunc(t.Configs, func(c kmsg.CreateTopicsRequestTopicConfig) bool { return c.Name == name })
			t.Configs = append(t.Configs, kmsg.CreateTopicsRequestTopicConfig{Name: name, Value: &value})
		}
		set("retention.ms", "-1")
		if w.top.Topics[t.Topic].Kind == topology.Changelog {
			set("delete.retention.ms", strconv.FormatInt(w.knobs.tombstones.Milliseconds(), 10))
		}
	}
}

// stampOnAppend works round kfake, whose compaction takes a deletion's age from
// its timestamp, which for weir is event time, and not from when it was first
// compacted: records of changelogs, whose times nobody reads, get the time at
// which they are appended. (kfake takes LogAppendTime for a wish of clients,
// and forgets the checksum of what it changes then.)
func (w *world) stampOnAppend(r kmsg.Request) {
	req, ok := r.(*kmsg.ProduceRequest)
	if !ok {
		return
	}
	for i := range req.Topics {
		t := &req.Topics[i]
		if _, ok := w.changelogIDs.Load(t.TopicID); !ok {
			continue
		}
		for j := range t.Partitions {
			if p := &t.Partitions[j]; len(p.Records) > 0 {
				p.Records = stamped(p.Records, time.Now().UnixMilli())
			}
		}
	}
}

// stamped is a batch with other times; one that is not as it should be stays
// so, for kfake to refuse.
func stamped(b []byte, at int64) []byte {
	const atAttributes, compression = 21, 0x07
	var batch kmsg.RecordBatch
	if batch.ReadFrom(b) != nil || int(batch.Length) != len(b)-12 || uint32(batch.CRC) != crc32.Checksum(b[atAttributes:], castagnoli) {
		return b
	}
	rs, err := kfake.BatchRecords(batch)
	if err != nil {
		return b
	}
	batch.Records = nil
	for _, r := range rs {
		r.TimestampDelta, r.TimestampDelta64, r.Length = 0, 0, 0
		r.Length = int32(len(r.AppendTo(nil)) - 1) // a length of 0 takes one byte
		batch.Records = r.AppendTo(batch.Records)
	}
	batch.Attributes &^= compression
	batch.FirstTimestamp, batch.MaxTimestamp = at, at
	batch.Length, batch.CRC = 0, 0
	b = batch.AppendTo(nil)
	batch.Length = int32(len(b) - 12)
	b = batch.AppendTo(b[:0])
	batch.CRC = int32(crc32.Checksum(b[atAttributes:], castagnoli))
	return batch.AppendTo(b[:0])
}

// identify notes the identities of changelogs.
func (w *world) identify() {
	for _, name := range sortedKeys(w.top.Topics) {
		if w.top.Topics[name].Kind != topology.Changelog {
			continue
		}
		if info := w.fake.TopicInfo(name); info != nil {
			w.changelogIDs.Store(info.TopicID, name)
		}
	}
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// compact makes the brokers compact their logs, and returns when they have.
//
// It works round kfake, which lets the records of an open transaction displace
// committed ones: when it is aborted, both are gone. Kafka's cleaner stops at
// the first offset of an open transaction. kfake's cannot be told where to
// stop, so it runs at a moment at which no changelog has one. To look and to
// compact must be one step: it is done while kfake handles a request, when it
// handles no other.
func (w *world) compact() {
	if !slices.ContainsFunc(w.plan, compacts) {
		panic("a fault that compacts is missing in compacts: records were not stamped")
	}
	w.compactions.Add(1)
	defer w.compactions.Done()
	var over, done atomic.Bool
	w.fake.ControlKey(-1, func(kmsg.Request) (kmsg.Response, error, bool) {
		var logs []extent
		if !over.Load() {
			var open bool
			if logs, open = w.changelogs(); open {
				return nil, nil, false // at the next request
			}
		}
		w.fake.DropControl()
		if !over.Load() && !done.Swap(true) {
			w.h.Add(check.Event{Kind: check.Compacted})
			w.fake.Compact()
			w.compactedMu.Lock()
			w.compacted = logs
			w.compactedMu.Unlock()
		}
		return nil, nil, false
	})
	// Transactions end, by their timeout at the latest.
	if !eventually(3*txnTimeout, func() bool {
		ctx, cancel := context.WithTimeout(context.Background(), reqTimeout)
		defer cancel()
		_ = w.producer.Ping(ctx) // there need not be other requests
		return done.Load()
	}) {
		over.Store(true)
		w.trace.add("not compacted: there always was an open transaction")
	}
}

// An extent is where the log of a partition ends.
type extent struct {
	topic     string
	partition int32
	end       int64
}

// changelogs says how long they are, and whether there is a transaction that has
// written to one and is open.
func (w *world) changelogs() (logs []extent, open bool) {
	for _, name := range sortedKeys(w.top.Topics) {
		if w.top.Topics[name].Kind != topology.Changelog {
			continue
		}
		for _, p := range w.fake.PartitionInfos(name) {
			if p.LastStableOffset < p.HighWatermark {
				return nil, true
			}
			logs = append(logs, extent{name, p.Partition, p.HighWatermark})
		}
	}
	return logs, false
}

// forget works round kfake, which goes on to name an aborted transaction after
// compaction has removed its records and its marker: without the marker, a client
// skips all that the producer commits afterwards. Kafka's cleaner takes the
// transaction from the index together with the marker.
//
// What was aborted before the log was compacted is the transaction of nobody in
// the answer to a fetch, unless the answer has records of its producer from
// before: it may be older than the compaction, and where such records were left
// the marker was, too.
func (w *world) forget(frame []byte, version int16) {
	w.compactedMu.Lock()
	defer w.compactedMu.Unlock()
	if len(w.compacted) == 0 {
		return
	}
	resp := kmsg.FetchResponse{Version: version}
	body := frame[8:]
	if resp.IsFlexible() {
		body = body[1:] // no tags in the header
	}
	if err := resp.ReadFrom(body); err != nil {
		panic("an answer to a fetch of version " + strconv.Itoa(int(version)) + " cannot be read: " + err.Error())
	}
	const nobody = -2
	changed := false
	for i := range resp.Topics {
		t := &resp.Topics[i]
		name, ok := w.changelogIDs.Load(t.TopicID)
		if !ok {
			continue
		}
		for j := range t.Partitions {
			p := &t.Partitions[j]
			end := w.compactedTo(name.(string), p.Partition)
			for k := range p.AbortedTransactions {
				a := &p.AbortedTransactions[k]
				if a.FirstOffset < end && !hasRecords(p.RecordBatches, a.ProducerID, a.FirstOffset, end) {
					a.ProducerID, changed = nobody, true
				}
			}
		}
	}
	if changed && len(resp.AppendTo(body[:0])) != len(body) {
		panic("an answer to a fetch has another length without an aborted transaction's producer")
	}
}

func (w *world) compactedTo(topic string, partition int32) int64 {
	for _, e := range w.compacted {
		if e.topic == topic && e.partition == partition {
			return e.end
		}
	}
	return 0
}

// hasRecords reports whether a producer wrote some of the batches in a part of
// the log, markers left aside.
func hasRecords(batches []byte, producer, from, to int64) bool {
	const atLength, atAttributes, control, atProducer = 8, 21, 0x20, 43
	for b := batches; len(b) >= atProducer+8; {
		at := int64(binary.BigEndian.Uint64(b))
		if at >= from && at < to && int64(binary.BigEndian.Uint64(b[atProducer:])) == producer &&
			binary.BigEndian.Uint16(b[atAttributes:])&control == 0 {
			return true
		}
		b = b[min(len(b), atLength+4+int(binary.BigEndian.Uint32(b[atLength:]))):]
	}
	return false
}

// watchMembers notes who is heard of, and lets nobody leave the group, or take
// another one's place, while the group waits in SyncGroup: kfake counts who
// leaves then as somebody who had joined, and waits for one member too many in
// the next rebalance, which each further JoinGroup puts off.
func (w *world) watchMembers() {
	for _, key := range []kmsg.Key{kmsg.JoinGroup, kmsg.SyncGroup, kmsg.Heartbeat, kmsg.LeaveGroup} {
		w.fake.ControlKey(int16(key), func(r kmsg.Request) (kmsg.Response, error, bool) {
			w.fake.KeepControl()
			switch r := r.(type) {
			case *kmsg.HeartbeatRequest:
				w.heard.Store(r.MemberID, time.Now())
			case *kmsg.SyncGroupRequest:
				w.heard.Store(r.MemberID, time.Now())
			case *kmsg.JoinGroupRequest:
				w.heard.Store(r.MemberID, time.Now())
				if r.InstanceID != nil && r.MemberID == "" {
					w.fake.SleepControl(w.synced)
				}
			case *kmsg.LeaveGroupRequest:
				w.fake.SleepControl(w.synced)
			}
			return nil, nil, false
		})
	}
}

// synced waits until the group does not wait in SyncGroup.
func (w *world) synced() {
	for {
		if g := w.fake.GroupInfo(w.top.App); g == nil || g.State != "CompletingRebalance" {
			return
		}
		sleep(10 * time.Millisecond)
	}
}

// expel removes members that are not heard of any more, until ended: in kfake,
// one whose JoinGroup could not be answered, because its client gave up or
// crashed, has no session, stays in the group for good, and keeps what it is
// assigned. Kafka removes it when the session ends that begins with the answer.
func (w *world) expel(ended <-chan struct{}) {
	look := time.NewTicker(heartbeat)
	defer look.Stop()
	for {
		select {
		case <-ended:
			return
		case <-look.C:
		}
		g := w.fake.GroupInfo(w.top.App)
		if g == nil {
			continue
		}
		for _, m := range g.Members {
			// A static member is told its ID when the rebalance ends.
			at, _ := w.heard.LoadOrStore(m.MemberID, time.Now())
			if at, ok := at.(time.Time); ok && time.Since(at) > session+rebalance {
				w.trace.add("expel %s %s", m.ClientID, m.MemberID)
				w.leave(m)
			}
		}
	}
}

// leave takes a member out of the group.
func (w *world) leave(m kfake.GroupMember) {
	req := kmsg.NewPtrLeaveGroupRequest()
	req.Group = w.top.App
	req.MemberID = m.MemberID // up to version 2
	req.Members = append(req.Members, kmsg.LeaveGroupRequestMember{MemberID: m.MemberID, InstanceID: m.InstanceID})
	ctx, cancel := context.WithTimeout(context.Background(), reqTimeout)
	defer cancel()
	// A refusal is met again at the next look.
	if _, err := req.RequestWith(ctx, w.producer); err != nil {
		w.trace.add("expel: %v", err)
	}
}
