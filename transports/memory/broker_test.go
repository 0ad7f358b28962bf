package memory

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/weirstream/weir/core/record"
	"github.com/weirstream/weir/runtime"
)

var (
	in0  = record.TopicPartition{Topic: "in", Partition: 0}
	out0 = record.TopicPartition{Topic: "out", Partition: 0}
	log0 = record.TopicPartition{Topic: "log", Partition: 0}
)

// newTestBroker has the topics in and out, and log, which is compacted.
func newTestBroker(t *testing.T) *Broker {
	t.Helper()
	b := NewBroker()
	for _, name := range []string{"in", "out"} {
		must(t, b.CreateTopic(name, runtime.TopicSpec{Partitions: 4, Replicas: 1}))
	}
	must(t, b.CreateTopic("log", runtime.TopicSpec{Partitions: 1, Replicas: -1, Config: map[string]string{"cleanup.policy": "compact"}}))
	return b
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func wantErr(t *testing.T, err, target error) {
	t.Helper()
	if !errors.Is(err, target) {
		t.Fatalf("error %v, want %v", err, target)
	}
}

// recs makes records from words: key=value, "key=" with an empty value, or
// "key" alone for a tombstone.
func recs(words string) []record.Record {
	var out []record.Record
	for w := range strings.FieldsSeq(words) {
		k, v, ok := strings.Cut(w, "=")
		r := record.Record{Key: []byte(k), Time: record.NoTime}
		if ok {
			r.Value = []byte(v)
		}
		out = append(out, r)
	}
	return out
}

// show is the inverse, with offsets and what comes next: "0:a=1 2:b next=3".
func show(f Fetched) string {
	var s strings.Builder
	for i := range f.Records {
		s.WriteString(showRecord(&f.Records[i]) + " ")
	}
	fmt.Fprintf(&s, "next=%d", f.Next)
	return s.String()
}

func showRecord(r *record.Record) string {
	if r.Value == nil {
		return fmt.Sprintf("%d:%s", r.Offset, r.Key)
	}
	return fmt.Sprintf("%d:%s=%s", r.Offset, r.Key, r.Value)
}

func wantFetch(t *testing.T, b *Broker, tp record.TopicPartition, from int64, limit int, want string) {
	t.Helper()
	f, err := b.Fetch(tp, from, limit)
	must(t, err)
	if got := show(f); got != want {
		t.Fatalf("fetch of %v from %d: %s; want %s", tp, from, got, want)
	}
}

func put(t *testing.T, b *Broker, tp record.TopicPartition, words string) {
	t.Helper()
	_, err := b.Append(tp, recs(words))
	must(t, err)
}

func putTxn(t *testing.T, b *Broker, p Producer, tp record.TopicPartition, words string) {
	t.Helper()
	_, err := b.AppendTxn(p, tp, recs(words))
	must(t, err)
}

func TestReadersStopAtOpenTransactions(t *testing.T) {
	t.Parallel()
	b := newTestBroker(t)
	p, q := b.InitProducer("p"), b.InitProducer("q")
	put(t, b, out0, "a=1")
	putTxn(t, b, p, out0, "b=2")
	putTxn(t, b, q, out0, "c=3")
	put(t, b, out0, "d=4")
	wantFetch(t, b, out0, 0, 0, "0:a=1 next=1")

	must(t, b.EndTxn(q, true)) // its marker is offset 4; p still holds readers back
	wantFetch(t, b, out0, 0, 0, "0:a=1 next=1")
	wantFetch(t, b, out0, 3, 0, "next=3")

	must(t, b.EndTxn(p, false)) // marker 5
	wantFetch(t, b, out0, 0, 0, "0:a=1 2:c=3 3:d=4 next=6")
	wantFetch(t, b, out0, 1, 1, "2:c=3 next=3")
	wantFetch(t, b, out0, 4, 0, "next=6")

	all, err := b.FetchUncommitted(out0, 0, 0)
	must(t, err)
	if got, want := show(all), "0:a=1 1:b=2 2:c=3 3:d=4 next=6"; got != want {
		t.Fatalf("uncommitted: %s; want %s", got, want)
	}
}

func TestLimitedFetchPassesMarkersBehindIt(t *testing.T) {
	t.Parallel()
	b := newTestBroker(t)
	p := b.InitProducer("p")
	putTxn(t, b, p, out0, "a=1 b=2")
	must(t, b.EndTxn(p, true))
	wantFetch(t, b, out0, 0, 2, "0:a=1 1:b=2 next=3")
	wantFetch(t, b, out0, 0, 1, "0:a=1 next=1")
}

func TestOffsetsOutsideOfTheLog(t *testing.T) {
	t.Parallel()
	b := newTestBroker(t)
	put(t, b, in0, "a=1 b=2 c=3")
	must(t, b.DeleteRecords(in0, 2))
	for _, at := range []int64{-1, 1, 4} {
		_, err := b.Fetch(in0, at, 0)
		wantErr(t, err, runtime.ErrOffsetOutOfRange)
	}
	wantFetch(t, b, in0, 2, 0, "2:c=3 next=3")
	wantFetch(t, b, in0, 3, 0, "next=3")
	wantErr(t, b.DeleteRecords(in0, 4), runtime.ErrOffsetOutOfRange)
	wantErr(t, b.DeleteRecords(log0, 0), ErrPolicy)
	must(t, b.DeleteRecords(in0, -1))
	r, err := b.Range(in0)
	must(t, err)
	if r.Start != 3 || r.End != 3 {
		t.Fatalf("range %v", r)
	}
	_, err = b.Fetch(record.TopicPartition{Topic: "in", Partition: 4}, 0, 0)
	wantErr(t, err, ErrUnknownPartition)
}

func TestDeletingRecordsOfAnOpenTransactionMovesTheStableOffset(t *testing.T) {
	t.Parallel()
	b := newTestBroker(t)
	p := b.InitProducer("p")
	putTxn(t, b, p, in0, "a=1 b=2")
	must(t, b.DeleteRecords(in0, 1))
	if lso, err := b.LastStable(in0); err != nil || lso != 1 {
		t.Fatalf("last stable %d, %v", lso, err)
	}
	must(t, b.EndTxn(p, true))
	wantFetch(t, b, in0, 1, 0, "1:b=2 next=3")
}

func TestANewProducerFencesAndAborts(t *testing.T) {
	t.Parallel()
	b := newTestBroker(t)
	old := b.InitProducer("p")
	putTxn(t, b, old, out0, "a=1")
	must(t, b.TxnOffsets(old, "g", Membership{}, offsets("5")))
	young := b.InitProducer("p")
	if young.ID != old.ID || young.Epoch != old.Epoch+1 {
		t.Fatalf("%v after %v", young, old)
	}
	_, err := b.AppendTxn(old, out0, recs("b=2"))
	wantErr(t, err, runtime.ErrFenced)
	wantErr(t, b.TxnOffsets(old, "g", Membership{}, offsets("6")), runtime.ErrFenced)
	wantErr(t, b.EndTxn(old, true), runtime.ErrFenced)
	_, err = b.RenewProducer(old)
	wantErr(t, err, runtime.ErrFenced)
	wantFetch(t, b, out0, 0, 0, "next=2")
	wantCommitted(t, b, "", false)
	putTxn(t, b, young, out0, "c=3")
	must(t, b.EndTxn(young, true))
	wantFetch(t, b, out0, 0, 0, "2:c=3 next=4")
}

func TestEpochsRunOut(t *testing.T) {
	t.Parallel()
	b := newTestBroker(t)
	p := b.InitProducer("p")
	b.producers[p.ID].pid.Epoch = 1<<15 - 1
	last := Producer{p.ID, 1<<15 - 1}
	next := b.InitProducer("p")
	if next.ID == last.ID || next.Epoch != 0 {
		t.Fatalf("%v after %v", next, last)
	}
	_, err := b.AppendTxn(last, out0, recs("a=1"))
	wantErr(t, err, runtime.ErrFenced)
	putTxn(t, b, next, out0, "a=1")
}

func TestTimeoutFencesButMayBeRenewed(t *testing.T) {
	t.Parallel()
	b := newTestBroker(t)
	p := b.InitProducer("p")
	wantErr(t, b.TimeoutTxn("p"), ErrTxnState)
	putTxn(t, b, p, out0, "a=1")
	if got := b.OpenTxns(); !slices.Equal(got, []string{"p"}) {
		t.Fatalf("open: %v", got)
	}
	must(t, b.TimeoutTxn("p"))
	if got := b.OpenTxns(); len(got) != 0 {
		t.Fatalf("open: %v", got)
	}
	wantErr(t, b.EndTxn(p, true), runtime.ErrFenced)
	renewed, err := b.RenewProducer(p)
	must(t, err)
	putTxn(t, b, renewed, out0, "b=2")
	_, err = b.RenewProducer(p)
	wantErr(t, err, runtime.ErrFenced)
}

func TestEndingTwice(t *testing.T) {
	t.Parallel()
	b := newTestBroker(t)
	p := b.InitProducer("p")
	wantErr(t, b.EndTxn(p, true), ErrTxnState)
	putTxn(t, b, p, out0, "a=1")
	must(t, b.EndTxn(p, true))
	must(t, b.EndTxn(p, true))
	wantErr(t, b.EndTxn(p, false), ErrTxnState)
	wantFetch(t, b, out0, 0, 0, "0:a=1 next=2")
}

func offsets(words string) map[record.TopicPartition]runtime.Offset {
	out := make(map[record.TopicPartition]runtime.Offset)
	for i, w := range strings.Fields(words) {
		var o runtime.Offset
		if _, err := fmt.Sscan(w, &o.At); err != nil {
			panic(err)
		}
		out[record.TopicPartition{Topic: "in", Partition: int32(i)}] = o
	}
	return out
}

// wantCommitted checks what group g has for in/0, "" for nothing.
func wantCommitted(t *testing.T, b *Broker, want string, wantPending bool) {
	t.Helper()
	got, pending := b.Committed("g", in0)
	s := ""
	if o, ok := got[in0]; ok {
		s = fmt.Sprint(o.At)
	}
	if s != want || pending != wantPending {
		t.Fatalf("committed %q pending %v; want %q pending %v", s, pending, want, wantPending)
	}
}

func TestOffsetsOfTransactions(t *testing.T) {
	t.Parallel()
	b := newTestBroker(t)
	p := b.InitProducer("p")
	must(t, b.Commit("g", Membership{}, offsets("3")))
	wantCommitted(t, b, "3", false)
	must(t, b.TxnOffsets(p, "g", Membership{}, offsets("7")))
	wantCommitted(t, b, "3", true)
	if _, pending := b.Committed("g", record.TopicPartition{Topic: "in", Partition: 1}); pending {
		t.Fatal("a partition that no transaction holds is pending")
	}
	must(t, b.EndTxn(p, false))
	wantCommitted(t, b, "3", false)
	must(t, b.TxnOffsets(p, "g", Membership{}, offsets("7")))
	must(t, b.EndTxn(p, true))
	wantCommitted(t, b, "7", false)
}

func TestALaterCommitStays(t *testing.T) {
	t.Parallel()
	b := newTestBroker(t)
	p := b.InitProducer("p")
	must(t, b.TxnOffsets(p, "g", Membership{}, offsets("7")))
	must(t, b.Commit("g", Membership{}, offsets("9")))
	must(t, b.EndTxn(p, true))
	wantCommitted(t, b, "9", false)
}

func TestCompactionLeavesGaps(t *testing.T) {
	t.Parallel()
	b := newTestBroker(t)
	p, q := b.InitProducer("p"), b.InitProducer("q")
	put(t, b, log0, "a=1 b=1")
	putTxn(t, b, p, log0, "a=2")
	must(t, b.EndTxn(p, true)) // marker 3
	putTxn(t, b, p, log0, "b=x")
	must(t, b.EndTxn(p, false)) // marker 5
	put(t, b, log0, "c=1 c")
	putTxn(t, b, q, log0, "a=open") // 8: above it nothing is cleaned
	must(t, b.Compact(log0, false))
	wantFetch(t, b, log0, 0, 0, "1:b=1 2:a=2 7:c next=8")
	wantFetch(t, b, log0, 3, 0, "7:c next=8")
	must(t, b.Compact(log0, true))
	wantFetch(t, b, log0, 0, 0, "1:b=1 2:a=2 next=8")
	if n := len(b.topics["log"].parts[0].entries); n != 4 { // b, a, its marker, the open one
		t.Fatalf("%d entries left", n)
	}
	must(t, b.EndTxn(q, true))
	must(t, b.Compact(log0, true))
	wantFetch(t, b, log0, 0, 0, "1:b=1 8:a=open next=10")
	wantErr(t, b.Compact(in0, false), ErrPolicy)
}

func TestCompactionRemovesAbortedRecords(t *testing.T) {
	t.Parallel()
	b := newTestBroker(t)
	p := b.InitProducer("p")
	putTxn(t, b, p, log0, "a=1")
	must(t, b.EndTxn(p, false))
	put(t, b, log0, "b=1")
	for _, drop := range []bool{false, true} {
		must(t, b.Compact(log0, drop))
		all, err := b.FetchUncommitted(log0, 0, 0)
		must(t, err)
		if got, want := show(all), "2:b=1 next=3"; got != want {
			t.Fatalf("%s; want %s", got, want)
		}
	}
	if n := len(b.topics["log"].parts[0].entries); n != 1 {
		t.Fatalf("%d entries left; the marker has nothing to end", n)
	}
}

func TestCompactedTopicsWantKeys(t *testing.T) {
	t.Parallel()
	b := newTestBroker(t)
	keyless := []record.Record{{Value: []byte("v")}}
	_, err := b.Append(log0, keyless)
	wantErr(t, err, ErrNoKey)
	_, err = b.AppendTxn(b.InitProducer("p"), log0, keyless)
	wantErr(t, err, ErrNoKey)
	_, err = b.Append(in0, keyless)
	must(t, err)
}

func TestTruncation(t *testing.T) {
	t.Parallel()
	b := newTestBroker(t)
	p := b.InitProducer("p")
	put(t, b, in0, "a=1 b=2")
	putTxn(t, b, p, in0, "c=3")
	must(t, b.Truncate(in0, 1))
	wantFetch(t, b, in0, 0, 0, "0:a=1 next=1")
	putTxn(t, b, p, in0, "d=4") // the transaction holds readers back again
	wantFetch(t, b, in0, 0, 0, "0:a=1 next=1")
	must(t, b.EndTxn(p, true))
	wantFetch(t, b, in0, 0, 0, "0:a=1 1:d=4 next=3")
	wantErr(t, b.Truncate(in0, 4), runtime.ErrOffsetOutOfRange)
}

func TestTopicDeletedAndMadeAnew(t *testing.T) {
	t.Parallel()
	b := newTestBroker(t)
	p := b.InitProducer("p")
	put(t, b, in0, "a=1")
	putTxn(t, b, p, in0, "b=2")
	must(t, b.Commit("g", Membership{}, offsets("1")))
	must(t, b.TxnOffsets(p, "g", Membership{}, offsets("2")))
	b.DeleteTopic("in")
	b.DeleteTopic("in")
	_, err := b.Fetch(in0, 0, 0)
	wantErr(t, err, ErrUnknownPartition)
	wantCommitted(t, b, "", false)
	must(t, b.CreateTopic("in", runtime.TopicSpec{Partitions: 2, Replicas: -1}))
	must(t, b.EndTxn(p, true))
	wantFetch(t, b, in0, 0, 0, "next=0")
	wantCommitted(t, b, "", false)
	if n := b.Partitions("in"); n != 2 {
		t.Fatalf("%d partitions", n)
	}
}

func TestTopicSpecs(t *testing.T) {
	t.Parallel()
	b := newTestBroker(t)
	wantErr(t, b.CreateTopic("in", runtime.TopicSpec{Partitions: 1, Replicas: 1}), ErrTopicExists)
	wantErr(t, b.CreateTopic("", runtime.TopicSpec{Partitions: 1, Replicas: 1}), ErrInvalidTopic)
	wantErr(t, b.CreateTopic("x", runtime.TopicSpec{Replicas: 1}), ErrInvalidTopic)
	info := b.Topics()["log"]
	if info.Partitions != 1 || info.Replicas != 1 || info.Config["cleanup.policy"] != "compact" || info.Config["retention.bytes"] != "-1" {
		t.Fatalf("%+v", info)
	}
	info.Config["cleanup.policy"] = "mine"
	if got := b.Topics()["log"].Config["cleanup.policy"]; got != "compact" {
		t.Fatalf("policy %q changed through a copy", got)
	}
}

func TestAppendCopies(t *testing.T) {
	t.Parallel()
	b := newTestBroker(t)
	r := []record.Record{{
		Key: []byte("k"), Value: []byte{}, Time: 42,
		Headers: []record.Header{{Key: "h", Value: []byte("v")}, {Key: "null"}},
	}}
	_, err := b.Append(in0, r)
	must(t, err)
	r[0].Key[0], r[0].Headers[0].Value[0], r[0].Headers[1].Key = 'x', 'x', "x"
	f, err := b.Fetch(in0, 0, 0)
	must(t, err)
	got := f.Records[0]
	if string(got.Key) != "k" || got.Value == nil || got.Time != 42 || got.TP() != in0 ||
		string(got.Headers[0].Value) != "v" || got.Headers[1].Key != "null" || got.Headers[1].Value != nil {
		t.Fatalf("%+v", got)
	}
}

func connect(t *testing.T, b *Broker) *Transport {
	t.Helper()
	tr, err := New(Config{Broker: b})
	must(t, err)
	t.Cleanup(func() { must(t, tr.Close()) })
	return tr
}
