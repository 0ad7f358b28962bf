package memory

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/weirstream/weir/core/record"
	"github.com/weirstream/weir/runtime"
)

var errBroken = errors.New("connection broke")

// newSuite is the suite on a broker of this package, for what only this
// transport can do.
func newSuite(t *testing.T) (*suite, *Broker) {
	t.Helper()
	b := newTestBroker(t)
	s := &suite{
		T: t, ctx: t.Context(),
		connect: func() runtime.Transport { return connect(t, b) },
		owners:  owners{held: make(map[record.TopicPartition]string)},
	}
	s.tr = s.connect()
	return s, b
}

// round is a commit of one record to out/0 and of an offset of in/0.
func round(m *testMember, word string, at int64) runtime.Commit {
	return runtime.Commit{
		Records: [][]record.Record{words("out", 0, word)},
		Group:   m.group, Offsets: map[record.TopicPartition]runtime.Offset{in0: {At: at}},
	}
}

// TestOutcomes fails each step of a round before and after its effect.
func TestOutcomes(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		id   string // of the producer
		step Step
		done bool
		err  error
		want runtime.Outcome
		// visible says that the round is seen in the end.
		visible bool
	}{
		{"p", Begin, false, errBroken, runtime.Aborted, false},
		{"p", Begin, true, errBroken, runtime.Aborted, false},
		{"p", Append, false, errBroken, runtime.Aborted, false},
		{"p", Append, true, errBroken, runtime.Aborted, false},
		{"p", Append, false, runtime.ErrFenced, runtime.Fenced, false},
		{"p", Offsets, false, errBroken, runtime.Aborted, false},
		{"p", Offsets, true, errBroken, runtime.Aborted, false},
		{"p", End, false, errBroken, runtime.Unknown, false},
		{"p", End, true, errBroken, runtime.Unknown, true},
		{"p", End, true, ErrRefused, runtime.Unknown, true}, // a lost answer says nothing
		{"p", End, false, ErrRefused, runtime.Aborted, false},
		{"p", End, false, runtime.ErrFenced, runtime.Fenced, false},
		{"", Append, false, errBroken, runtime.Unknown, false},
		{"", Append, true, errBroken, runtime.Unknown, true},
		{"", Offsets, false, errBroken, runtime.Unknown, true},
		{"", Offsets, true, errBroken, runtime.Unknown, true},
	} {
		t.Run(fmt.Sprintf("%q/%v/done=%v/%v", c.id, c.step, c.done, c.err), func(t *testing.T) {
			t.Parallel()
			s, b := newSuite(t)
			m := s.join(s.tr)
			m.waitOwned(4)
			p := s.producer(c.id)
			fired := 0
			b.Fail(func(op Op) error {
				if op.TransactionalID != c.id {
					t.Errorf("%+v", op)
				}
				if op.Step == c.step && op.Done == c.done {
					fired++
					return c.err
				}
				return nil
			})
			res := s.commit(p, c.want, round(m, "a", 5))
			if fired != 1 || res.Err == nil {
				t.Fatalf("fired %d times, error %v", fired, res.Err)
			}
			b.Fail(nil)
			if c.want == runtime.Unknown {
				s.commit(p, runtime.Aborted, round(m, "too early", 6))
				s.ok(p.Recover(s.ctx))
			}
			if c.want == runtime.Fenced {
				s.commit(p, runtime.Fenced, round(m, "too late", 6))
				p = s.producer(c.id)
			}
			s.commit(p, runtime.Committed, round(m, "b", 7))
			m.wantCommitted("in/0:7")
			want := "b"
			if c.visible {
				want = "a b"
			}
			s.wantOut(0, s.end(), want)
			if open := b.OpenTxns(); len(open) != 0 {
				t.Fatalf("still open: %v", open)
			}
		})
	}
}

func TestStepsOfARound(t *testing.T) {
	t.Parallel()
	s, b := newSuite(t)
	m := s.join(s.tr)
	m.waitOwned(4)
	var steps []string
	b.Fail(func(op Op) error {
		if !op.Done {
			steps = append(steps, op.Step.String())
		}
		return nil
	})
	c := round(m, "a", 1)
	c.Records = append(c.Records, words("out", 1, "x"))
	c.Claim = func() error {
		steps = append(steps, "claim")
		return nil
	}
	s.commit(s.producer("p"), runtime.Committed, c)
	s.commit(s.producer(""), runtime.Committed, c)
	c.Records = nil
	s.commit(s.producer("q"), runtime.Committed, c)
	s.commit(s.producer(""), runtime.Committed, c)
	want := "begin append append claim offsets end append append claim offsets begin claim offsets end claim offsets"
	if got := strings.Join(steps, " "); got != want {
		t.Fatalf("%s\nwant %s", got, want)
	}
}

// A round without records has a transaction of its own, or, at least once, is a
// plain commit.
func TestOffsetsOnlyFaults(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		id   string
		step Step
		done bool
		err  error
		want runtime.Outcome
		now  string
	}{
		{"", Offsets, false, errBroken, runtime.Unknown, ""},
		{"", Offsets, true, errBroken, runtime.Unknown, "in/0:5"},
		{"", Offsets, false, ErrRefused, runtime.Aborted, ""},
		{"p", Begin, false, errBroken, runtime.Aborted, ""},
		{"p", Offsets, false, errBroken, runtime.Aborted, ""},
		{"p", Offsets, true, errBroken, runtime.Aborted, ""},
		{"p", Offsets, false, ErrRefused, runtime.Aborted, ""},
		{"p", End, false, errBroken, runtime.Unknown, ""},
		{"p", End, true, errBroken, runtime.Unknown, "in/0:5"},
		{"p", End, false, ErrRefused, runtime.Aborted, ""},
	} {
		s, b := newSuite(t)
		m := s.join(s.tr)
		m.waitOwned(4)
		b.Fail(func(op Op) error {
			if op.Step == c.step && op.Done == c.done {
				return c.err
			}
			return nil
		})
		p := s.producer(c.id)
		s.commit(p, c.want, runtime.Commit{Group: m.group, Offsets: offsets("5")})
		if c.want == runtime.Unknown {
			s.ok(p.Recover(s.ctx))
		}
		m.wantCommitted(c.now)
	}
}

func TestAbortThatFailsIsMadeUpFor(t *testing.T) {
	t.Parallel()
	s, b := newSuite(t)
	p := s.producer("p")
	b.Fail(func(op Op) error {
		if op.Step == Abort && !op.Done {
			return errBroken
		}
		return nil
	})
	s.commit(p, runtime.Aborted, runtime.Commit{
		Records: [][]record.Record{words("out", 0, "a")},
		Claim:   func() error { return errBroken },
	})
	if open := b.OpenTxns(); !slices.Equal(open, []string{"p"}) {
		t.Fatalf("open: %v", open)
	}
	s.send(p, words("out", 0, "b"))
	s.wantOut(0, 4, "b")
}

func TestTransactionTimeoutIsAnAbort(t *testing.T) {
	t.Parallel()
	s, b := newSuite(t)
	p := s.producer("p")
	b.Fail(func(op Op) error {
		if op.Step == End && !op.Done {
			return b.TimeoutTxn("p")
		}
		return nil
	})
	s.commit(p, runtime.Aborted, runtime.Commit{Records: [][]record.Record{words("out", 0, "a")}})
	b.Fail(nil)
	s.send(p, words("out", 0, "b"))
	s.wantOut(0, 4, "b")
}

// TestAbandonedTransactionTimesOut: nobody recovers the producer, as after a
// crash; others wait for the timeout and no longer.
func TestAbandonedTransactionTimesOut(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, b := newSuite(t)
		m := s.join(s.tr)
		m.waitOwned(4)
		p := s.producer("p")
		b.Fail(func(op Op) error {
			if op.Step == End {
				return errBroken
			}
			return nil
		})
		start := time.Now()
		s.commit(p, runtime.Unknown, round(m, "a", 5))
		p.Close()
		m.wantCommitted("")
		if took := time.Since(start); took != defaultTransactionTimeout {
			t.Fatalf("waited %v", took)
		}
		s.close(m)
	})
}

func TestCommitWhoseContextIsOverAborts(t *testing.T) {
	t.Parallel()
	s, b := newSuite(t)
	p := s.producer("p")
	ctx, cancel := context.WithCancel(s.ctx)
	res := p.Commit(ctx, runtime.Commit{
		Records: [][]record.Record{words("out", 0, "a")},
		Claim: func() error {
			cancel()
			return nil
		},
	})
	if res.Outcome != runtime.Aborted || !errors.Is(res.Err, context.Canceled) {
		t.Fatalf("%v %v", res.Outcome, res.Err)
	}
	if open := b.OpenTxns(); len(open) != 0 {
		t.Fatalf("open: %v", open)
	}
}

// TestCommittedWaitsForPendingTransactions is the rule of KIP-447.
func TestCommittedWaitsForPendingTransactions(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, b := newSuite(t)
		m := s.join(s.tr)
		m.waitOwned(4)
		p := s.producer("p")
		b.Fail(func(op Op) error {
			if op.Step == End {
				return errBroken
			}
			return nil
		})
		s.commit(p, runtime.Unknown, round(m, "a", 5))
		var got map[record.TopicPartition]runtime.Offset
		answered := make(chan struct{})
		go func() {
			defer close(answered)
			var err error
			if got, err = m.group.Committed(s.ctx, []record.TopicPartition{in0}); err != nil {
				t.Error(err)
			}
		}()
		synctest.Wait()
		select {
		case <-answered:
			t.Fatal("answered while a transaction was pending")
		default:
		}
		ctx, cancel := context.WithTimeout(s.ctx, 5*time.Second)
		defer cancel()
		_, err := m.group.Committed(ctx, []record.TopicPartition{in0})
		wantErr(t, err, context.DeadlineExceeded)
		m.wantOther()
		s.ok(p.Recover(s.ctx))
		<-answered
		if len(got) != 0 {
			t.Fatalf("%v; the transaction was fenced", got)
		}
		s.close(m)
	})
}

// wantOther asks for a partition that no transaction holds.
func (m *testMember) wantOther() {
	m.s.Helper()
	_, err := m.group.Committed(m.s.ctx, []record.TopicPartition{tpOf("in", 1)})
	m.s.ok(err)
}

// close ends the goroutines of members, which a synctest bubble waits for.
func (s *suite) close(members ...*testMember) {
	s.Helper()
	for _, m := range members {
		m.leave()
	}
}

func TestZombie(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, b := newSuite(t)
		a := s.join(s.tr)
		a.waitOwned(4)
		c := s.join(s.connect())
		a.waitOwned(2)
		c.waitOwned(2)
		id, generation := a.group.Member()
		before := a.parts()

		wake, err := b.Isolate(id)
		s.ok(err)
		s.ok(b.Expel(id))
		wantErr(t, b.Expel(id), ErrUnknownMember)
		s.owners.drop(a.name) // the checker knows what the zombie does not
		c.waitOwned(4)

		// The zombie believes in its old membership, and so does its claim.
		if gotID, got := a.group.Member(); gotID != id || got != generation {
			t.Fatalf("%s %d", gotID, got)
		}
		p := s.producer("a")
		res := s.commit(p, runtime.Aborted, runtime.Commit{
			Records: [][]record.Record{words("out", 0, "a")},
			Group:   a.group, Offsets: map[record.TopicPartition]runtime.Offset{before[0]: {At: 9}},
			Claim: func() error { return a.claim(before) },
		})
		s.is(res.Err, ErrUnknownMember)
		s.is(a.group.Commit(s.ctx, nil, map[record.TopicPartition]runtime.Offset{before[0]: {At: 9}}), runtime.ErrFenced)
		c.wantCommitted("")

		wake()
		a.waitHeard(fmt.Sprint("lost ", before))
		a.waitOwned(2) // it is back, as somebody else
		c.waitOwned(2)
		if fresh, _ := a.group.Member(); fresh == id {
			t.Fatalf("back as %s", fresh)
		}
		if a.session < 3 { // assigned, lost, assigned
			t.Fatalf("session %d", a.session)
		}
		s.commit(p, runtime.Committed, runtime.Commit{
			Records: [][]record.Record{words("out", 0, "b")},
			Group:   a.group, Offsets: map[record.TopicPartition]runtime.Offset{a.parts()[0]: {At: 4}},
		})
		s.wantOut(0, s.end(), "b")
		s.close(a, c)
	})
}

func (m *testMember) waitHeard(call string) {
	m.s.Helper()
	m.wait(call, func() bool { return slices.Contains(m.heard, call) })
}

func (m *testMember) parts() []record.TopicPartition {
	m.mu.Lock()
	defer m.mu.Unlock()
	var parts []record.TopicPartition
	for tp := range m.owned {
		parts = append(parts, tp)
	}
	slices.SortFunc(parts, record.TopicPartition.Compare)
	return parts
}

// TestCommitUnderOldGeneration lets the generation move on between the claim
// and the commit: it is sent again, under the new one, if the claim holds.
func TestCommitUnderOldGeneration(t *testing.T) {
	t.Parallel()
	s, b := newSuite(t)
	a := s.join(s.tr)
	a.waitOwned(4)
	_, generation := a.group.Member()
	mine := a.parts()[:1]
	claims := 0
	var c *testMember
	s.commit(s.producer("p"), runtime.Committed, runtime.Commit{
		Records: [][]record.Record{words("out", 0, "a")},
		Group:   a.group, Offsets: map[record.TopicPartition]runtime.Offset{mine[0]: {At: 3}},
		Claim: func() error {
			if claims++; claims == 1 {
				c = s.join(s.connect())
				c.waitOwned(2)
			}
			return nil
		},
	})
	if claims != 2 {
		t.Fatalf("%d claims", claims)
	}
	wantErr(t, b.Commit("g", Membership{b.Group("g").Members[0], generation}, offsets("1")), ErrIllegalGeneration)
	wantErr(t, b.Commit("g", Membership{}, offsets("1")), ErrUnknownMember)
}
