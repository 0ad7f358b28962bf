package conformance

import (
	"context"
	"errors"
	"fmt"
	"maps"

	"github.com/weirstream/weir/core/record"
	"github.com/weirstream/weir/runtime"
)

func commitChecks() []TransportCheck {
	return []TransportCheck{
		transportCheck("commit/transaction", checkTransaction),
		transportCheck("commit/offsets-with-records", checkOffsetsWithRecords),
		transportCheck("commit/claim-refused", checkClaimRefused),
		transportCheck("commit/idempotent", checkIdempotent),
		transportCheck("commit/offsets-only", checkOffsetsOnly),
		transportCheck("commit/producer-fenced", checkProducerFenced),
		transportCheck("commit/successor-aborts", checkSuccessorAborts),
		transportCheck("commit/records-may-be-reused", checkRecordsMayBeReused),
		transportCheck("commit/context-ends", checkCommitContextEnds),
		transportCheck("commit/unknown-applied", func(s *wire) { checkUnknown(s, true) }, LosesAnswers),
		transportCheck("commit/unknown-not-applied", func(s *wire) { checkUnknown(s, false) }, LosesAnswers),
		transportCheck("commit/timeout", checkTransactionTimeout, TimesOut),
		transportCheck("commit/foreign-group", checkForeignGroup),
	}
}

func checkTransaction(s *wire) {
	p, plain := s.producer("p"), s.producer("")
	a, b := s.tp("out", 0), s.tp("out", 1)
	unseen := s.fetcher(places{a: 0, b: 0})
	res := s.commit(p, runtime.Committed, runtime.Commit{
		Records: [][]record.Record{s.words("out", 0, "a b"), s.words("out", 1, "x"), s.words("out", 0, "c")},
		Claim: func() error {
			// The records are there but nobody may see them yet.
			if end := s.highWatermark(a); end != 3 {
				return fmt.Errorf("the end is %d while the round is open; want 3", end)
			}
			s.stands(unseen, a, plain)
			return nil
		},
	})
	if want := (places{a: 3, b: 1}); !maps.Equal(res.Next, want) {
		s.Fatalf("next %v; want %v", res.Next, want)
	}
	res = s.send(p, s.words("out", 0, "d")) // offset 4: a marker is at 3
	if want := (places{a: 5}); !maps.Equal(res.Next, want) {
		s.Fatalf("next %v; want %v: the marker takes an offset", res.Next, want)
	}
	s.holds(a, "a b c d")
	s.holds(b, "x")
	s.commit(p, runtime.Committed, runtime.Commit{}) // of nothing
	claims := 0
	s.commit(p, runtime.Committed, runtime.Commit{Claim: func() error { claims++; return nil }})
	s.holds(a, "a b c d")
}

// checkOffsetsWithRecords: a round's offsets become visible with its records,
// not before and not without.
func checkOffsetsWithRecords(s *wire) {
	m := s.all()
	p := s.producer("p")
	at := s.tp("in", 2)
	s.commit(p, runtime.Committed, m.round("a", at, 7))
	m.wantCommitted("in/2:7")
	aborted := m.round("b", at, 8)
	aborted.Claim = func() error { return errGivenAway }
	s.commit(p, runtime.Aborted, aborted)
	m.wantCommitted("in/2:7")
	late := m.round("c", at, 9)
	late.Offsets[s.tp("in", 0)] = runtime.Offset{At: 1, Metadata: "meta data"}
	late.Claim = func() error {
		m.wantCommitted("in/2:7") // not yet
		return nil
	}
	s.commit(p, runtime.Committed, late)
	m.wantCommitted("in/0:1meta data in/2:9")
	s.holds(s.tp("out", 0), "a c")
	// An offset may go back.
	s.commit(p, runtime.Committed, m.round("d", at, 3))
	m.wantCommitted("in/0:1meta data in/2:3")
}

func checkClaimRefused(s *wire) {
	p := s.producer("p")
	refusal := errors.New("not ours")
	res := s.commit(p, runtime.Aborted, runtime.Commit{
		Records: [][]record.Record{s.words("out", 0, "a b")},
		Claim:   func() error { return refusal },
	})
	s.is(res.Err, refusal)
	s.send(p, s.words("out", 0, "c")) // offset 3: the marker of the abort is at 2
	if end := s.end(s.tp("out", 0)); end != 5 {
		s.Fatalf("the end is %d; want 5: two markers take offsets", end)
	}
	s.holds(s.tp("out", 0), "c")
	s.commit(p, runtime.Fenced, runtime.Commit{
		Records: [][]record.Record{s.words("out", 0, "d")},
		Claim:   func() error { return runtime.ErrFenced },
	})
	s.send(p, s.words("out", 0, "e")) // the claim was fenced, not the producer
	s.holds(s.tp("out", 0), "c e")
}

func checkIdempotent(s *wire) {
	p := s.producer("")
	m := s.all()
	at := s.tp("out", 0)
	in := s.tp("in", 0)
	first := m.round("a b", in, 5)
	first.Offsets[in] = runtime.Offset{At: 5, Metadata: "m"}
	res := s.commit(p, runtime.Committed, first)
	if end := s.end(at); res.Next[at] != 2 || end != 2 {
		s.Fatalf("next %v, end %d: no marker is expected", res.Next, end)
	}
	s.holds(at, "a b")
	m.wantCommitted("in/0:5m")
	// Once records are out, a failure is not an abort.
	second := m.round("c", in, 6)
	second.Claim = func() error {
		if s.highWatermark(at) > 2 {
			return errGivenAway
		}
		return nil // a claim may be looked at before anything is sent, too
	}
	s.commit(p, runtime.Unknown, second)
	m.wantCommitted("in/0:5m")
	s.commit(p, runtime.Aborted, m.round("too early", in, 7))
	s.ok(p.Recover(s.ctx))
	s.send(p, s.words("out", 0, "d"))
	// Offsets follow the records, never the other way.
	third := m.round("e", in, 8)
	last := int64(0)
	third.Claim = func() error {
		last = s.highWatermark(at)
		return nil
	}
	s.commit(p, runtime.Committed, third)
	if last != 5 {
		s.Fatalf("the end is %d before the offsets; want 5", last)
	}
	m.wantCommitted("in/0:8")
	s.holds(at, "a b c d e")
}

func checkOffsetsOnly(s *wire) {
	for _, id := range []string{"p", ""} {
		m := s.all()
		p := s.producer(id)
		at := s.tp("in", 1)
		s.commit(p, runtime.Committed, runtime.Commit{Group: m.group, Offsets: offsets{at: {At: 7}}})
		m.wantCommitted("in/1:7")
		refused := runtime.Commit{Group: m.group, Offsets: offsets{at: {At: 8}}, Claim: func() error { return errGivenAway }}
		s.commit(p, runtime.Aborted, refused)
		m.wantCommitted("in/1:7")
		s.commit(p, runtime.Committed, m.round("a", at, 9))
		m.wantCommitted("in/1:9")
		m.leave()
	}
}

// checkProducerFenced: from when a newer producer of its ID is there, an
// older one does nothing, not even with the round that it is in.
func checkProducerFenced(s *wire) {
	old := s.producer("p")
	s.send(old, s.words("out", 0, "a"))
	m := s.all()
	var young runtime.Producer
	during := m.round("b", s.tp("in", 0), 1)
	during.Claim = func() error {
		if young == nil {
			young = s.producerOf(s.connect(), "p")
		}
		return nil
	}
	s.is(s.commit(old, runtime.Fenced, during).Err, runtime.ErrFenced)
	s.commit(old, runtime.Fenced, runtime.Commit{Records: [][]record.Record{s.words("out", 0, "c")}})
	s.commit(old, runtime.Fenced, m.round("c", s.tp("in", 0), 2))
	s.is(old.Recover(s.ctx), runtime.ErrFenced)
	s.send(young, s.words("out", 0, "d"))
	s.commit(old, runtime.Fenced, runtime.Commit{Records: [][]record.Record{s.words("out", 1, "e")}})
	s.send(young, s.words("out", 0, "f"))
	s.send(s.producer("q"), s.words("out", 0, "g")) // others are not concerned
	s.holds(s.tp("out", 0), "a d f g")
	s.holds(s.tp("out", 1), "")
	m.wantCommitted("")
}

// checkSuccessorAborts: a producer ends what its predecessor left open before
// it is there; readers wait no longer.
func checkSuccessorAborts(s *wire) {
	old := s.producer("p")
	at := s.tp("out", 0)
	s.commit(old, runtime.Fenced, runtime.Commit{
		Records: [][]record.Record{s.words("out", 0, "a b")},
		Claim: func() error {
			s.producerOf(s.connect(), "p")
			if end := s.highWatermark(at); end != 3 {
				return fmt.Errorf("the end is %d; want 3: two records and the marker of their abort", end)
			}
			s.holds(at, "")
			return runtime.ErrFenced
		},
	})
}

func checkRecordsMayBeReused(s *wire) {
	p := s.producer("p")
	rs := s.words("out", 0, "a b")
	s.send(p, rs)
	for i := range rs {
		copy(rs[i].Key, "zz")
		copy(rs[i].Value, "zz")
	}
	s.holds(s.tp("out", 0), "a b")
	// A receiver may do what it likes with what it got.
	for _, r := range s.pollOnce(s.tp("out", 0), 0) {
		copy(r.Key, "zz")
	}
	s.holds(s.tp("out", 0), "a b")
}

// checkCommitContextEnds: a round whose context ends in the middle is either
// there as a whole, with its offsets, or not at all, and the producer is of
// use afterwards.
func checkCommitContextEnds(s *wire) {
	p := s.producer("p")
	m := s.all()
	in, a, b := s.tp("in", 0), s.tp("out", 0), s.tp("out", 1)
	ctx, cancel := context.WithCancel(s.ctx)
	defer cancel()
	c := m.round("a", in, 5)
	c.Records = append(c.Records, s.words("out", 1, "a"))
	c.Claim = func() error { cancel(); return nil }
	res := p.Commit(ctx, c)
	if res.Outcome == runtime.Fenced {
		s.Fatalf("a round whose context ended is fenced: %v", res.Err)
	}
	if res.Outcome == runtime.Unknown {
		s.ok(p.Recover(s.ctx))
	}
	got, err := m.group.Committed(s.ctx, []tp{in})
	s.ok(err)
	text := ""
	if got[in].At == 5 {
		text = "a "
	}
	if res.Outcome == runtime.Committed && text == "" || res.Outcome == runtime.Aborted && text != "" {
		s.Fatalf("%v, and the offset is %v", res.Outcome, got)
	}
	s.send(p, s.words("out", 0, "b"), s.words("out", 1, "b"))
	s.holds(a, text+"b")
	s.holds(b, text+"b")
}

// checkUnknown: when the answer to the end is lost, nothing is guessed; after
// Recover the offsets tell what became of the round, and the records agree.
func checkUnknown(s *wire, applied bool) {
	p := s.producer("p")
	m := s.all()
	in, out := s.tp("in", 0), s.tp("out", 0)
	s.commit(p, runtime.Committed, m.round("a", in, 1))
	ctx, cancel := context.WithCancel(s.ctx)
	defer cancel()
	mend := s.place.LoseEnd(applied, cancel)
	res := p.Commit(ctx, m.round("b", in, 2))
	if res.Outcome != runtime.Unknown || res.Err == nil {
		mend()
		s.Fatalf("the answer was lost, yet %v, %v", res.Outcome, res.Err)
	}
	s.commit(p, runtime.Aborted, m.round("early", in, 3))
	mend()
	s.ok(p.Recover(s.ctx))
	if applied {
		m.wantCommitted("in/0:2")
		s.holds(out, "a b")
	} else {
		m.wantCommitted("in/0:1")
		s.holds(out, "a")
	}
	s.commit(p, runtime.Committed, m.round("c", in, 4))
	m.wantCommitted("in/0:4")
	if applied {
		s.holds(out, "a b c")
	} else {
		s.holds(out, "a c")
	}
}

// checkTransactionTimeout: a round that took too long was aborted by the
// cluster, not by a newer producer.
func checkTransactionTimeout(s *wire) {
	m := s.all()
	p := s.producerOf(s.connectBy(s.place.ConnectHasty), "p")
	out := s.tp("out", 0)
	slow := m.round("a", s.tp("in", 0), 1)
	slow.Claim = func() error {
		// A reader comes past the record once it is aborted.
		if got := s.readFrom(out, 0, 1); len(got) > 0 {
			s.Errorf("the record of an open transaction is read: %v", got)
		}
		return nil
	}
	s.commit(p, runtime.Aborted, slow)
	m.wantCommitted("")
	s.commit(p, runtime.Committed, m.round("b", s.tp("in", 0), 2))
	m.wantCommitted("in/0:2")
	s.holds(out, "b")
}

// checkForeignGroup: offsets of a group of some other transport are refused,
// not forgotten.
func checkForeignGroup(s *wire) {
	p := s.producer("p")
	for _, g := range []runtime.Group{nil, struct{ runtime.Group }{}} {
		s.commit(p, runtime.Aborted, runtime.Commit{
			Records: [][]record.Record{s.words("out", 0, "a")},
			Group:   g, Offsets: offsets{s.tp("in", 0): {At: 1}},
		})
	}
	s.send(p, s.words("out", 0, "b"))
	s.holds(s.tp("out", 0), "b")
}
