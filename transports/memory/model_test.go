package memory

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/weirstream/weir/core/record"
	"github.com/weirstream/weir/runtime"
)

// A naive model of logs: a slot for each offset, and the fate of every
// transaction looked up by number.
type slot struct {
	txn    int // 0: none
	marker bool
	key    string
	gone   bool // by compaction
}

type model struct {
	logs   [2][]slot
	fates  []txnState // by transaction
	open   map[string]int
	held   map[int]int64 // transaction -> offset it holds for in/0
	heldAt map[int]int
	offset int64 // committed for in/0, -1 for none
	at     int   // when
	now    int
}

func (m *model) lastStable(part int) int64 {
	for i, s := range m.logs[part] {
		if s.txn > 0 && !s.marker && m.fates[s.txn] == open {
			return int64(i)
		}
	}
	return int64(len(m.logs[part]))
}

// committed lists what readers get from an offset on.
func (m *model) committed(part int, from int64) []string {
	var out []string
	for i := from; i < m.lastStable(part); i++ {
		s := m.logs[part][i]
		if !s.marker && !s.gone && (s.txn == 0 || m.fates[s.txn] == committed) {
			out = append(out, fmt.Sprintf("%d:%s", i, s.key))
		}
	}
	return out
}

func (m *model) end(id string, how txnState) {
	txn := m.open[id]
	delete(m.open, id)
	if txn == 0 {
		return
	}
	m.fates[txn] = how
	for p := range m.logs {
		if slices.ContainsFunc(m.logs[p], func(s slot) bool { return s.txn == txn }) {
			m.logs[p] = append(m.logs[p], slot{txn: txn, marker: true})
		}
	}
	if at, ok := m.heldAt[txn]; ok && how == committed && at > m.at {
		m.offset, m.at = m.held[txn], at
	}
	delete(m.held, txn)
	delete(m.heldAt, txn)
}

func (m *model) begin(id string) int {
	if m.open[id] == 0 {
		m.fates = append(m.fates, open)
		m.open[id] = len(m.fates) - 1
	}
	return m.open[id]
}

func (m *model) compact(part int) {
	last := make(map[string]bool)
	for i := m.lastStable(part) - 1; i >= 0; i-- {
		s := &m.logs[part][i]
		if s.marker || s.gone {
			continue
		}
		s.gone = s.txn > 0 && m.fates[s.txn] == aborted || last[s.key]
		if !s.gone {
			last[s.key] = true
		}
	}
}

// TestInterleavedTransactions compares the broker with the model over random
// interleavings of plain and transactional appends, ends, fencing, offsets
// and compaction.
func TestInterleavedTransactions(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		b := NewBroker()
		config := map[string]string{"cleanup.policy": "compact"}
		if err := b.CreateTopic("in", runtime.TopicSpec{Partitions: 2, Replicas: 1, Config: config}); err != nil {
			rt.Fatal(err)
		}
		s := &subject{
			b: b, pids: make(map[string]Producer),
			m: model{fates: []txnState{none}, open: make(map[string]int), held: make(map[int]int64), heldAt: make(map[int]int), offset: -1},
		}
		rt.Repeat(map[string]func(*rapid.T){
			"append":     s.append,
			"append txn": s.appendTxn,
			"end":        s.end,
			"fence":      s.fence,
			"offsets":    s.offsets,
			"compact":    s.compact,
			"":           s.check,
		})
	})
}

type subject struct {
	b    *Broker
	m    model
	pids map[string]Producer
}

func (s *subject) producer(rt *rapid.T) (string, Producer) {
	id := rapid.SampledFrom([]string{"p", "q", "r"}).Draw(rt, "producer")
	if _, ok := s.pids[id]; !ok {
		s.pids[id] = s.b.InitProducer(id)
	}
	return id, s.pids[id]
}

func (s *subject) some(rt *rapid.T) (part int, tp record.TopicPartition, rs []record.Record) {
	part = rapid.IntRange(0, 1).Draw(rt, "partition")
	keys := rapid.SliceOfN(rapid.SampledFrom([]string{"a", "b", "c", "d"}), 1, 3).Draw(rt, "keys")
	for _, k := range keys {
		rs = append(rs, record.Record{Key: []byte(k), Value: []byte("v")})
	}
	return part, record.TopicPartition{Topic: "in", Partition: int32(part)}, rs
}

func (s *subject) put(rt *rapid.T, part, txn int, base int64, err error, rs []record.Record) {
	if err != nil || base != int64(len(s.m.logs[part])) {
		rt.Fatalf("appended at %d, %v; want %d", base, err, len(s.m.logs[part]))
	}
	for i := range rs {
		s.m.logs[part] = append(s.m.logs[part], slot{txn: txn, key: string(rs[i].Key)})
	}
}

func (s *subject) append(rt *rapid.T) {
	part, tp, rs := s.some(rt)
	base, err := s.b.Append(tp, rs)
	s.put(rt, part, 0, base, err, rs)
}

func (s *subject) appendTxn(rt *rapid.T) {
	id, pid := s.producer(rt)
	part, tp, rs := s.some(rt)
	base, err := s.b.AppendTxn(pid, tp, rs)
	s.put(rt, part, s.m.begin(id), base, err, rs)
}

func (s *subject) end(rt *rapid.T) {
	id, pid := s.producer(rt)
	commit := rapid.Bool().Draw(rt, "commit")
	if s.m.open[id] == 0 {
		return // see TestEndingTwice
	}
	if err := s.b.EndTxn(pid, commit); err != nil {
		rt.Fatal(err)
	}
	how := aborted
	if commit {
		how = committed
	}
	s.m.end(id, how)
}

func (s *subject) fence(rt *rapid.T) {
	id, old := s.producer(rt)
	s.pids[id] = s.b.InitProducer(id)
	s.m.end(id, aborted)
	if err := s.b.EndTxn(old, true); err == nil {
		rt.Fatal("a fenced producer ended a transaction")
	}
}

func (s *subject) offsets(rt *rapid.T) {
	at := rapid.Int64Range(0, 99).Draw(rt, "at")
	o := map[record.TopicPartition]runtime.Offset{in0: {At: at}}
	s.m.now++
	if rapid.Bool().Draw(rt, "plain") {
		if err := s.b.Commit("g", Membership{}, o); err != nil {
			rt.Fatal(err)
		}
		s.m.offset, s.m.at = at, s.m.now
		return
	}
	id, pid := s.producer(rt)
	if err := s.b.TxnOffsets(pid, "g", Membership{}, o); err != nil {
		rt.Fatal(err)
	}
	txn := s.m.begin(id)
	s.m.held[txn], s.m.heldAt[txn] = at, s.m.now
}

func (s *subject) compact(rt *rapid.T) {
	part := rapid.IntRange(0, 1).Draw(rt, "partition")
	drop := rapid.Bool().Draw(rt, "drop") // there are no tombstones: only markers go
	if err := s.b.Compact(record.TopicPartition{Topic: "in", Partition: int32(part)}, drop); err != nil {
		rt.Fatal(err)
	}
	s.m.compact(part)
}

func (s *subject) check(rt *rapid.T) {
	for part := range s.m.logs {
		s.checkLog(rt, part, record.TopicPartition{Topic: "in", Partition: int32(part)})
	}
	got, pending := s.b.Committed("g", in0)
	want := map[record.TopicPartition]runtime.Offset{}
	if s.m.offset >= 0 {
		want[in0] = runtime.Offset{At: s.m.offset}
	}
	if !maps.Equal(got, want) || pending != (len(s.m.held) > 0) {
		rt.Fatalf("committed %v pending %v; model %v %v", got, pending, want, s.m.held)
	}
}

// checkLog reads to the end in pieces, from every offset.
func (s *subject) checkLog(rt *rapid.T, part int, tp record.TopicPartition) {
	lso, end := s.m.lastStable(part), int64(len(s.m.logs[part]))
	limit := rapid.IntRange(0, 3).Draw(rt, "limit")
	for from := range end + 1 {
		var got []string
		at := from
		for {
			f, err := s.b.Fetch(tp, at, limit)
			if err != nil || f.LastStable != lso || f.End != end {
				rt.Fatalf("fetch from %d: %+v %v; model: stable %d, end %d", at, f, err, lso, end)
			}
			if limit > 0 && len(f.Records) > limit {
				rt.Fatalf("%d records, limit %d", len(f.Records), limit)
			}
			for i := range f.Records {
				r := &f.Records[i]
				if r.Offset < at || r.Offset >= f.Next {
					rt.Fatalf("offset %d outside of %d to %d", r.Offset, at, f.Next)
				}
				got = append(got, fmt.Sprintf("%d:%s", r.Offset, r.Key))
			}
			if f.Next == at {
				break
			}
			at = f.Next
		}
		if at != max(from, lso) {
			rt.Fatalf("from %d the reading ended at %d, last stable %d", from, at, lso)
		}
		if want := s.m.committed(part, from); !slices.Equal(got, want) {
			rt.Fatalf("%v from %d:\n got  %s\n want %s", tp, from, strings.Join(got, " "), strings.Join(want, " "))
		}
	}
}
