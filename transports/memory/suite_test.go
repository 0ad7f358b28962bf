package memory

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/weirstream/weir/core/record"
	"github.com/weirstream/weir/runtime"
)

// The suite_* files are a suite over runtime.Transport and know nothing of this
// package, so that other transports can be held against it.

// patience is how long anything may take before the suite calls it hung.
const patience = 30 * time.Second

// testTransport checks a transport. cluster makes an empty cluster and
// returns a function that connects another client to it; the client is closed
// when the test is over.
func testTransport(t *testing.T, cluster func(t *testing.T) (connect func() runtime.Transport)) {
	t.Helper()
	for name, test := range map[string]func(*suite){
		"Topics":                     suiteTopics,
		"DeleteRecords":              suiteDeleteRecords,
		"Transaction":                suiteTransaction,
		"ClaimRefused":               suiteClaimRefused,
		"Idempotent":                 suiteIdempotent,
		"OffsetsOnly":                suiteOffsetsOnly,
		"ProducerFenced":             suiteProducerFenced,
		"RecordsMayBeReused":         suiteRecordsMayBeReused,
		"FetchMovesAndStops":         suiteFetchMovesAndStops,
		"FetchPauses":                suiteFetchPauses,
		"FetchLimit":                 suiteFetchLimit,
		"FetchOutOfRange":            suiteFetchOutOfRange,
		"FetchWaits":                 suiteFetchWaits,
		"GroupOfOne":                 suiteGroupOfOne,
		"GroupGrowsAndShrinks":       suiteGroupGrowsAndShrinks,
		"RevokedCommitsUntilItEnds":  suiteRevokedCommits,
		"RevokeBudget":               suiteRevokeBudget,
		"CommittedOutlivesTheMember": suiteCommittedOutlives,
		"LeaveIsSilent":              suiteLeaveIsSilent,
		"Close":                      suiteClose,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			t.Cleanup(cancel)
			connect := cluster(t)
			s := &suite{T: t, ctx: ctx, connect: connect, tr: connect(), owners: owners{held: make(map[record.TopicPartition]string)}}
			s.topic("in", 4)
			s.topic("out", 2)
			test(s)
		})
	}
}

type suite struct {
	*testing.T
	ctx     context.Context
	connect func() runtime.Transport
	tr      runtime.Transport
	owners  owners
}

func (s *suite) topic(name string, partitions int32) {
	s.Helper()
	s.ok(s.tr.CreateTopic(s.ctx, name, runtime.TopicSpec{Partitions: partitions, Replicas: 1}))
}

func (s *suite) ok(err error) {
	s.Helper()
	if err != nil {
		s.Fatal(err)
	}
}

func (s *suite) is(err, target error) {
	s.Helper()
	if !errors.Is(err, target) {
		s.Fatalf("error %v; want %v", err, target)
	}
}

func tpOf(topic string, p int32) record.TopicPartition {
	return record.TopicPartition{Topic: topic, Partition: p}
}

// words makes records for one partition, one for each word.
func words(topic string, p int32, text string) []record.Record {
	var rs []record.Record
	for w := range strings.FieldsSeq(text) {
		rs = append(rs, record.Record{Topic: topic, Partition: p, Time: 1, Key: []byte(w), Value: []byte(w)})
	}
	return rs
}

func (s *suite) producer(id string) runtime.Producer {
	s.Helper()
	p, err := s.tr.Producer(s.ctx, id)
	s.ok(err)
	s.Cleanup(p.Close)
	return p
}

// commit commits a round and wants its outcome.
func (s *suite) commit(p runtime.Producer, want runtime.Outcome, c runtime.Commit) runtime.Result {
	s.Helper()
	res := p.Commit(s.ctx, c)
	if res.Outcome != want {
		s.Fatalf("commit: %v, %v; want %v", res.Outcome, res.Err, want)
	}
	return res
}

func (s *suite) send(p runtime.Producer, rs ...[]record.Record) {
	s.Helper()
	s.commit(p, runtime.Committed, runtime.Commit{Records: rs})
}

func (s *suite) fetcher(at map[record.TopicPartition]int64) runtime.Fetcher {
	s.Helper()
	f, err := s.tr.Fetcher(runtime.FetchConfig{})
	s.ok(err)
	s.Cleanup(f.Close)
	f.Set(at)
	return f
}

// reading is what was polled of one partition.
type reading struct {
	keys []string
	next int64
}

// read polls until all partitions are at the offsets given.
func (s *suite) read(f runtime.Fetcher, until map[record.TopicPartition]int64) map[record.TopicPartition]reading {
	s.Helper()
	got := make(map[record.TopicPartition]reading)
	behind := func() bool {
		for tp, at := range until {
			if got[tp].next < at {
				return true
			}
		}
		return false
	}
	for behind() {
		batches := f.Poll(s.ctx, 0)
		if s.ctx.Err() != nil {
			s.Fatalf("waiting for %v, got %v", until, got)
		}
		for i := range batches {
			b := &batches[i]
			s.ok(b.Err)
			r := got[b.TP]
			for j := range b.Records {
				if rec := &b.Records[j]; rec.Offset < r.next || rec.Offset >= b.Next || rec.TP() != b.TP {
					s.Fatalf("record %v of %v between %d and %d", rec, b.TP, r.next, b.Next)
				}
				r.keys = append(r.keys, string(b.Records[j].Key))
			}
			r.next = b.Next
			got[b.TP] = r
		}
	}
	return got
}

// wantOut reads a partition of topic out up to an offset and compares the keys.
func (s *suite) wantOut(p int32, end int64, keys string) {
	s.Helper()
	tp := tpOf("out", p)
	f := s.fetcher(map[record.TopicPartition]int64{tp: 0})
	defer f.Close()
	got := s.read(f, map[record.TopicPartition]int64{tp: end})[tp]
	if want := strings.Fields(keys); !slices.Equal(got.keys, want) {
		s.Fatalf("%v holds %v; want %v", tp, got.keys, want)
	}
}

// end is the high watermark of out/0.
func (s *suite) end() int64 {
	s.Helper()
	tp := tpOf("out", 0)
	ranges, err := s.tr.Offsets(s.ctx, []record.TopicPartition{tp})
	s.ok(err)
	return ranges[tp].End
}

func suiteTopics(s *suite) {
	s.is(s.tr.CreateTopic(s.ctx, "in", runtime.TopicSpec{Partitions: 4, Replicas: 1}), runtime.ErrTopicExists)
	s.ok(s.tr.CreateTopic(s.ctx, "table", runtime.TopicSpec{Partitions: 1, Replicas: -1, Config: map[string]string{"cleanup.policy": "compact"}}))
	infos, err := s.tr.Topics(s.ctx, "in", "table", "absent")
	s.ok(err)
	if len(infos) != 2 || infos["in"].Partitions != 4 || infos["in"].Replicas != 1 || infos["table"].Config["cleanup.policy"] != "compact" {
		s.Fatalf("%+v", infos)
	}
	for _, key := range []string{"cleanup.policy", "retention.ms", "retention.bytes"} {
		if infos["in"].Config[key] == "" {
			s.Fatalf("no %s in %v", key, infos["in"].Config)
		}
	}
	all, err := s.tr.Topics(s.ctx)
	s.ok(err)
	if len(all) != 3 {
		s.Fatalf("all topics: %v", slices.Sorted(maps.Keys(all)))
	}
	s.ok(s.tr.DeleteTopic(s.ctx, "table"))
	s.ok(s.tr.DeleteTopic(s.ctx, "table"))
	infos, err = s.tr.Topics(s.ctx, "table")
	s.ok(err)
	if len(infos) != 0 {
		s.Fatalf("deleted topic is still there: %v", infos)
	}
}

func suiteDeleteRecords(s *suite) {
	p := s.producer("")
	s.send(p, words("in", 0, "a b c"))
	tp := tpOf("in", 0)
	s.ok(s.tr.DeleteRecords(s.ctx, map[record.TopicPartition]int64{tp: 2}))
	ranges, err := s.tr.Offsets(s.ctx, []record.TopicPartition{tp})
	s.ok(err)
	if ranges[tp] != (runtime.LogRange{Start: 2, End: 3}) {
		s.Fatalf("range %v", ranges[tp])
	}
}

func suiteTransaction(s *suite) {
	p := s.producer("p")
	unseen := s.fetcher(map[record.TopicPartition]int64{tpOf("out", 0): 0})
	res := s.commit(p, runtime.Committed, runtime.Commit{
		Records: [][]record.Record{words("out", 0, "a b"), words("out", 1, "x"), words("out", 0, "c")},
		Claim: func() error {
			// The records are there but nobody may see them yet.
			if end := s.end(); end != 3 {
				return fmt.Errorf("end %d", end)
			}
			ctx, cancel := context.WithCancel(s.ctx)
			cancel()
			for _, b := range unseen.Poll(ctx, 0) {
				return fmt.Errorf("seen before the commit: %v", b)
			}
			return nil
		},
	})
	if want := (map[record.TopicPartition]int64{tpOf("out", 0): 3, tpOf("out", 1): 1}); !maps.Equal(res.Next, want) {
		s.Fatalf("next %v; want %v", res.Next, want)
	}
	s.send(p, words("out", 0, "d")) // offset 4: a marker is at 3
	s.wantOut(0, 5, "a b c d")
	s.wantOut(1, 1, "x")
}

func suiteClaimRefused(s *suite) {
	p := s.producer("p")
	refusal := errors.New("given away")
	res := s.commit(p, runtime.Aborted, runtime.Commit{
		Records: [][]record.Record{words("out", 0, "a b")},
		Claim:   func() error { return refusal },
	})
	s.is(res.Err, refusal)
	s.send(p, words("out", 0, "c")) // offset 3: the marker of the abort is at 2
	s.wantOut(0, 4, "c")
	s.commit(p, runtime.Fenced, runtime.Commit{
		Records: [][]record.Record{words("out", 0, "d")},
		Claim:   func() error { return runtime.ErrFenced },
	})
}

func suiteIdempotent(s *suite) {
	p := s.producer("")
	m := s.join(s.tr)
	m.waitOwned(4)
	res := s.commit(p, runtime.Committed, runtime.Commit{
		Records: [][]record.Record{words("out", 0, "a b")},
		Group:   m.group, Offsets: map[record.TopicPartition]runtime.Offset{tpOf("in", 0): {At: 5, Metadata: "m"}},
	})
	if res.Next[tpOf("out", 0)] != 2 || s.end() != 2 {
		s.Fatalf("next %v, end %d: no marker is expected", res.Next, s.end())
	}
	s.wantOut(0, 2, "a b")
	m.wantCommitted("in/0:5m")
	// Once records are out, a failure is not an abort.
	s.commit(p, runtime.Unknown, runtime.Commit{
		Records: [][]record.Record{words("out", 0, "c")},
		Claim:   func() error { return errors.New("given away") },
		Group:   m.group, Offsets: map[record.TopicPartition]runtime.Offset{tpOf("in", 0): {At: 6}},
	})
	m.wantCommitted("in/0:5m")
	s.ok(p.Recover(s.ctx))
	s.send(p, words("out", 0, "d"))
}

func suiteOffsetsOnly(s *suite) {
	p := s.producer("p")
	m := s.join(s.tr)
	m.waitOwned(4)
	c := runtime.Commit{Group: m.group, Offsets: map[record.TopicPartition]runtime.Offset{tpOf("in", 1): {At: 7}}}
	s.commit(p, runtime.Committed, c)
	m.wantCommitted("in/1:7")
	c.Claim = func() error { return errors.New("given away") }
	c.Offsets = map[record.TopicPartition]runtime.Offset{tpOf("in", 1): {At: 8}}
	s.commit(p, runtime.Aborted, c)
	m.wantCommitted("in/1:7")
}

func suiteProducerFenced(s *suite) {
	old := s.producer("p")
	s.send(old, words("out", 0, "a"))
	var young runtime.Producer
	m := s.join(s.tr)
	m.waitOwned(4)
	s.commit(old, runtime.Fenced, runtime.Commit{
		Records: [][]record.Record{words("out", 0, "b")},
		Group:   m.group, Offsets: map[record.TopicPartition]runtime.Offset{tpOf("in", 0): {At: 1}},
		Claim: func() (err error) {
			young, err = s.tr.Producer(s.ctx, "p")
			return err
		},
	})
	defer young.Close()
	s.commit(old, runtime.Fenced, runtime.Commit{Records: [][]record.Record{words("out", 0, "c")}})
	s.is(old.Recover(s.ctx), runtime.ErrFenced)
	s.send(young, words("out", 0, "d"))
	s.wantOut(0, s.end(), "a d")
	m.wantCommitted("")
}

func suiteRecordsMayBeReused(s *suite) {
	p := s.producer("p")
	rs := words("out", 0, "a b")
	s.send(p, rs)
	for i := range rs {
		copy(rs[i].Key, "zz")
		copy(rs[i].Value, "zz")
	}
	s.wantOut(0, 2, "a b")
	// A receiver may do what it likes with what it got.
	for _, r := range s.pollOnce(tpOf("out", 0), 0) {
		copy(r.Key, "zz")
	}
	s.wantOut(0, 2, "a b")
}

// pollOnce returns the first records of a partition from an offset.
func (s *suite) pollOnce(tp record.TopicPartition, at int64) []record.Record {
	s.Helper()
	f := s.fetcher(map[record.TopicPartition]int64{tp: at})
	for {
		for _, b := range f.Poll(s.ctx, 0) {
			s.ok(b.Err)
			if len(b.Records) > 0 {
				return b.Records
			}
		}
		s.ok(s.ctx.Err())
	}
}
