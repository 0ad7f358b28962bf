package conformance

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/weirstream/weir/core/record"
	"github.com/weirstream/weir/runtime"
)

func logChecks() []TransportCheck {
	return []TransportCheck{
		transportCheck("log/order", checkOrder),
		transportCheck("log/fields", checkFields),
		transportCheck("log/end-offsets", checkEndOffsets),
		transportCheck("log/markers-at-end", checkMarkersAtEnd),
		transportCheck("log/aborted-in-full-answers", checkAbortedInFullAnswers),
		transportCheck("log/foreign-transaction", checkForeignTransaction, ForeignTransactions),
		transportCheck("log/start-after-deletion", checkStartAfterDeletion),
		transportCheck("log/deleted-already", checkDeletedAlready),
		transportCheck("log/start-after-compaction", checkCompaction, Compacts),
		transportCheck("log/big-records", checkBigRecords),
	}
}

// checkOrder writes partitions in turn, in one round and over many, and reads
// them from everywhere.
func checkOrder(s *wire) {
	p := s.producer("p")
	a, b := s.tp("out", 0), s.tp("out", 1)
	want := make(map[tp][]string)
	for n := range 30 {
		var round [][]record.Record
		for i := range 6 {
			part := int32(i % 2)
			var keys []string
			for j := range 1 + (n+i)%4 {
				keys = append(keys, fmt.Sprintf("%d-%d-%d", n, i, j))
			}
			round = append(round, s.words("out", part, strings.Join(keys, " ")))
			want[s.tp("out", part)] = append(want[s.tp("out", part)], keys...)
		}
		s.send(p, round...)
	}
	until := places{a: s.end(a), b: s.end(b)}
	got := s.read(s.fetcher(places{a: 0, b: 0}), until)
	for tp, keys := range want {
		if !slices.Equal(got[tp].keys, keys) {
			s.Fatalf("%v holds %v; want %v", tp, got[tp].keys, keys)
		}
	}
	// From any offset on it is the rest, with nothing twice.
	for from := int64(0); from <= until[a]; from += 7 {
		rest := s.readFrom(a, from, until[a])
		if !slices.Equal(rest, want[a][len(want[a])-len(rest):]) {
			s.Fatalf("from offset %d: %v", from, rest)
		}
	}
}

// checkFields: what a record carries arrives as it was.
func checkFields(s *wire) {
	sent := []record.Record{
		{Time: s.now - 12345, Key: []byte("key"), Value: []byte("value")},
		{Time: s.now, Key: []byte{}, Value: []byte{}},
		{Time: s.now - 1, Key: nil, Value: []byte("no key")},
		{Time: s.now + 1, Key: []byte("a tombstone"), Value: nil},
		{Time: s.now + 2, Key: []byte{0, 255, 10}, Value: bytes.Repeat([]byte{0, 255}, 500), Headers: []record.Header{
			{Key: "one", Value: []byte("1")}, {Key: "one", Value: []byte("again")}, {Key: "empty", Value: []byte{}}, {Key: "", Value: []byte{0}},
		}},
	}
	for i := range sent {
		sent[i].Topic, sent[i].Partition = s.name("out"), 1
	}
	s.send(s.producer("p"), sent)
	got := s.pollOnce(s.tp("out", 1), 0)
	if len(got) != len(sent) {
		s.Fatalf("%d of %d records", len(got), len(sent))
	}
	for i, want := range sent {
		g := got[i]
		same := g.TP() == want.TP() && g.Offset == int64(i) && g.Time == want.Time && sameBytes(g.Key, want.Key) && sameBytes(g.Value, want.Value)
		if !same || !slices.EqualFunc(g.Headers, want.Headers, sameHeader) {
			s.Fatalf("record %d is %+v; want %+v", i, g, want)
		}
	}
}

// sameBytes tells nil from empty, as a log does.
func sameBytes(a, b []byte) bool { return bytes.Equal(a, b) && (a == nil) == (b == nil) }

func sameHeader(a, b record.Header) bool { return a.Key == b.Key && bytes.Equal(a.Value, b.Value) }

// checkEndOffsets: while a transaction is open the end is behind its records,
// and readers of committed records stop before the first of them, whatever
// others commit behind it.
func checkEndOffsets(s *wire) {
	open, other, plain := s.producer("open"), s.producer("other"), s.producer("")
	at := s.tp("out", 0)
	s.send(plain, s.words("out", 0, "a"))
	f := s.fetcher(places{at: 0})
	s.commit(open, runtime.Committed, runtime.Commit{
		Records: [][]record.Record{s.words("out", 0, "b c")},
		Claim: func() error {
			s.send(other, s.words("out", 0, "d"))
			s.send(plain, s.words("out", 0, "e"))
			end := s.highWatermark(at)
			for end < 6 && s.ctx.Err() == nil { // the marker of d may come late
				end = s.highWatermark(at)
			}
			if end != 6 {
				return fmt.Errorf("the end is %d with an open transaction; want 6", end)
			}
			if got := s.read(f, places{at: 1})[at]; got.next != 1 || !slices.Equal(got.keys, []string{"a"}) {
				return fmt.Errorf("read %+v below an open transaction; want a, and next 1", got)
			}
			s.stands(f, at, plain)
			return nil
		},
	})
	got := s.read(f, places{at: 7})[at]
	if !slices.Equal(got.keys, strings.Fields("b c d e")) || got.next != s.end(at) {
		s.Fatalf("after the commit: %+v", got)
	}
}

// checkMarkersAtEnd: whatever a log ends with, a reader that starts anywhere
// comes to its end.
func checkMarkersAtEnd(s *wire) {
	p, plain := s.producer("p"), s.producer("")
	cases := []struct {
		name, want string
		write      func(part int32)
	}{
		{"nothing", "", func(int32) {}},
		{"records", "a b", func(i int32) { s.send(plain, s.words("log", i, "a b")) }},
		{"a commit", "a b", func(i int32) { s.send(p, s.words("log", i, "a b")) }},
		{"an abort", "a", func(i int32) { s.send(plain, s.words("log", i, "a")); s.abort(p, s.words("log", i, "b c")) }},
		{"aborts only", "", func(i int32) { s.abort(p, s.words("log", i, "a")); s.abort(p, s.words("log", i, "b")) }},
		{"an abort in between", "a c d", func(i int32) {
			s.send(p, s.words("log", i, "a"))
			s.abort(p, s.words("log", i, "b"))
			s.send(plain, s.words("log", i, "c"))
			s.send(p, s.words("log", i, "d"))
			s.abort(p, s.words("log", i, "e"))
		}},
	}
	s.topic("log", int32(len(cases)))
	for i, c := range cases {
		c.write(int32(i))
		at := s.tp("log", int32(i))
		end := s.end(at)
		for _, fromLog := range []bool{false, true} {
			f := s.fetcherWith(runtime.FetchConfig{FromLog: fromLog}, nil)
			for from := range end {
				f.Set(places{at: from})
				got := s.read(f, places{at: end})
				if next := got[at].next; next != end {
					s.Fatalf("%s: next is %d at the end, %d", c.name, next, end)
				}
				if want := strings.Fields(c.want); from == 0 && !slices.Equal(got[at].keys, want) {
					s.Fatalf("%s: %v; want %v", c.name, got[at].keys, want)
				}
			}
		}
	}
}

// checkAbortedInFullAnswers: aborted records stay out of sight however little
// a reader takes at a time, of however many partitions.
func checkAbortedInFullAnswers(s *wire) {
	p := s.producer("p")
	const parts = 4
	at, until := places{}, places{}
	big := strings.Repeat("x", 3000)
	for i := range int32(parts) {
		for range 6 {
			s.abort(p, s.words("in", i, big+" "+big))
		}
		s.send(p, s.words("in", i, "committed"))
		at[s.tp("in", i)], until[s.tp("in", i)] = 0, s.end(s.tp("in", i))
	}
	for _, bytes := range []int{8 << 10, 256 << 10} {
		got := s.read(s.fetcherWith(runtime.FetchConfig{MaxBytes: bytes}, at), until)
		for tp, r := range got {
			if !slices.Equal(r.keys, []string{"committed"}) {
				s.Fatalf("%v: %d records are visible, one was committed", tp, len(r.keys))
			}
		}
	}
}

// checkForeignTransaction: what another program leaves open holds readers
// back until it ends, either way.
func checkForeignTransaction(s *wire) {
	at := s.tp("out", 0)
	plain := s.producer("")
	next := int64(0)
	for i, commit := range []bool{false, true} {
		tx, err := s.place.Begin(s.name(fmt.Sprint("foreign-", i)))
		s.ok(err)
		s.ok(tx.Append(s.ctx, s.words("out", 0, "a b")))
		s.send(plain, s.words("out", 0, "c"))
		f := s.fetcher(places{at: next})
		s.stands(f, at, plain)
		s.ok(tx.End(s.ctx, commit))
		want := []string{"c"}
		if commit {
			want = []string{"a", "b", "c"}
		}
		end := s.end(at)
		if got := s.read(f, places{at: end})[at].keys; !slices.Equal(got, want) {
			s.Fatalf("committed %v: read %v; want %v", commit, got, want)
		}
		next = end
	}
}

func checkStartAfterDeletion(s *wire) {
	p := s.producer("p")
	at := s.tp("in", 0)
	s.send(p, s.words("in", 0, "a b"))
	s.send(p, s.words("in", 0, "c d"), s.words("in", 1, "x"))
	s.ok(s.tr.DeleteRecords(s.ctx, places{at: 1}))
	s.ok(s.tr.DeleteRecords(s.ctx, places{at: 3}))
	if r := s.bounds(at); r != (runtime.LogRange{Start: 3, End: 6}) {
		s.Fatalf("the log is %+v", r)
	}
	s.holds(at, "c d")
	s.outOfRange(at, 1)
	s.holds(s.tp("in", 1), "x")
	// All of it: the end stays.
	s.ok(s.tr.DeleteRecords(s.ctx, places{at: 6}))
	if r := s.bounds(at); r != (runtime.LogRange{Start: 6, End: 6}) {
		s.Fatalf("an emptied log is %+v", r)
	}
	s.outOfRange(at, 5)
	s.send(p, s.words("in", 0, "e"))
	s.holds(at, "e")
}

// checkDeletedAlready: what is deleted already is no error.
func checkDeletedAlready(s *wire) {
	at := s.tp("in", 0)
	s.send(s.producer("p"), s.words("in", 0, "a b c"))
	for _, before := range []int64{2, 2, 1, 0} {
		s.ok(s.tr.DeleteRecords(s.ctx, places{at: before}))
	}
	s.holds(at, "c")
}

// outOfRange wants a reader at an offset to be told so.
func (s *wire) outOfRange(at tp, offset int64) {
	s.Helper()
	f := s.fetcher(places{at: offset})
	defer f.Close()
	for {
		for _, b := range f.Poll(s.ctx, 0) {
			if !errors.Is(b.Err, runtime.ErrOffsetOutOfRange) || b.TP != at || len(b.Records) > 0 {
				s.Fatalf("at offset %d of %v: %d records of %v, %v; want %v", offset, at, len(b.Records), b.TP, b.Err, runtime.ErrOffsetOutOfRange)
			}
			return
		}
		s.ok(s.ctx.Err())
	}
}

// checkCompaction: gaps, the markers in them, and the start of the log.
func checkCompaction(s *wire) {
	s.topic("table", 1, "cleanup.policy", "compact", "min.compaction.lag.ms", "0", "min.cleanable.dirty.ratio", "0.001", "segment.ms", "100")
	at := s.tp("table", 0)
	p := s.producer("p")
	for range 5 {
		s.send(p, s.words("table", 0, "a b c"))
	}
	s.abort(p, s.words("table", 0, "a never"))
	s.send(p, s.words("table", 0, "c d"))
	s.ok(s.place.Compact(at))
	r := s.bounds(at)
	got := s.readFrom(at, r.Start, r.End)
	if len(got) > 10 {
		s.Fatalf("not compacted: %v", got)
	}
	want := []string{"a", "b", "c", "d"}
	if !slices.Equal(lastOfEach(got), want) {
		s.Fatalf("a compacted log holds %v; want %v, the last of each in this order", got, want)
	}
	// From within a gap the reader comes to the next record. The cleaner may
	// be at work again meanwhile.
	f := s.fetcher(nil)
	for from := r.Start; from < r.End; from++ {
		f.Set(places{at: from})
		rest := s.read(f, places{at: r.End})[at].keys
		if last := lastOfEach(rest); !slices.Equal(last, want[len(want)-len(last):]) {
			s.Fatalf("from %d: %v", from, rest)
		}
	}
	// It goes on behind.
	s.send(p, s.words("table", 0, "e"))
	if end := s.end(at); end <= r.End || !slices.Equal(s.readFrom(at, r.End, end), []string{"e"}) {
		s.Fatalf("the end is %d after %d", end, r.End)
	}
}

// lastOfEach is what a table of the keys holds, in the order of the log.
func lastOfEach(keys []string) []string {
	var last []string
	for _, key := range keys {
		last = append(slices.DeleteFunc(last, func(k string) bool { return k == key }), key)
	}
	return last
}

// checkBigRecords: near the limit of a log all is well; what is beyond it
// fails the round as a whole.
func checkBigRecords(s *wire) {
	p := s.producer("p")
	at := s.tp("out", 0)
	value := pattern(900 << 10)
	big := []record.Record{{Topic: at.Topic, Time: s.now, Key: []byte("big"), Value: value}}
	s.send(p, s.words("out", 0, "before"), big, big, s.words("out", 0, "after"))
	s.holds(at, "before big big after")
	for _, r := range s.pollOnce(at, 1) {
		if string(r.Key) == "big" && !bytes.Equal(r.Value, value) {
			s.Fatal("a big record came back changed")
		}
	}
	end := s.end(at)
	huge := []record.Record{{Topic: at.Topic, Time: s.now, Key: []byte("huge"), Value: pattern(2 << 20)}}
	s.commit(p, runtime.Aborted, runtime.Commit{Records: [][]record.Record{s.words("out", 0, "with"), huge, s.words("out", 1, "other")}})
	s.send(p, s.words("out", 0, "next"))
	s.holds(s.tp("out", 1), "")
	if got := s.readFrom(at, end, s.end(at)); !slices.Equal(got, []string{"next"}) {
		s.Fatalf("after a record that is too large: %v", got)
	}
}
