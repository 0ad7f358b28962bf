package conformance

import (
	"context"
	"errors"
	"time"

	"github.com/weirstream/weir/core/record"
	"github.com/weirstream/weir/runtime"
)

func outageChecks() []TransportCheck {
	return []TransportCheck{
		transportCheck("outage/comes-back", checkOutage, GoesAway),
		transportCheck("outage/calls-end-with-their-context", checkOutageContext, GoesAway),
	}
}

// checkOutage takes the cluster away under a member, a reader, a producer and
// a question. All wait, and go on when it is back; no record is lost or seen
// twice. A member may have lost its partitions and got them again.
func checkOutage(s *wire) {
	m := s.all()
	in, out := s.tp("in", 0), s.tp("out", 0)
	p := s.producer("p")
	s.commit(p, runtime.Committed, m.round("a", in, 1))
	f := s.fetcher(places{out: 0})
	s.read(f, places{out: s.end(out)})

	s.ok(s.place.Stop())
	type answer struct {
		res runtime.Result
		err error
	}
	committed, asked := make(chan answer, 1), make(chan answer, 1)
	go func() { committed <- answer{res: p.Commit(s.ctx, m.round("b", in, 2))} }()
	go func() {
		_, err := s.tr.Topics(s.ctx, s.name("in"))
		asked <- answer{err: err}
	}()
	ctx, cancel := context.WithTimeout(s.ctx, 300*time.Millisecond)
	defer cancel()
	for _, b := range f.Poll(ctx, 0) {
		if len(b.Records) > 0 || b.Err != nil {
			s.Errorf("read without a cluster: %+v", b)
		}
	}
	<-ctx.Done() // it has been away for a while
	s.ok(s.place.Start())

	if a := receive(s, asked, "Topics"); a.err != nil {
		s.Fatalf("a question over an outage: %v", a.err)
	}
	a := receive(s, committed, "Commit")
	switch a.res.Outcome {
	case runtime.Committed:
	case runtime.Unknown, runtime.Aborted:
		s.ok(p.Recover(s.ctx))
		got, err := m.group.Committed(s.ctx, []tp{in})
		s.ok(err)
		if got[in].At != 2 {
			s.commit(p, runtime.Committed, m.round("b", in, 2))
		}
	default:
		s.Fatalf("a commit over an outage: %v, %v", a.res.Outcome, a.res.Err)
	}
	m.wantCommitted("in/0:2")
	s.commit(p, runtime.Committed, m.round("c", in, 3))
	s.holds(out, "a b c")
	if got := s.read(f, places{out: s.end(out)})[out].keys; len(got) != 2 || got[0] != "b" || got[1] != "c" {
		s.Fatalf("the reader goes on with %v; want b and c", got)
	}
	m.waitOwned(4)
}

// checkOutageContext: what waits for the cluster ends with its context.
func checkOutageContext(s *wire) {
	p, idempotent := s.producer("p"), s.producer("")
	m := s.all()
	s.commit(p, runtime.Committed, m.round("a", s.tp("in", 0), 1))
	s.commit(idempotent, runtime.Committed, m.round("b", s.tp("in", 0), 2))
	s.ok(s.place.Stop())
	ctx, cancel := context.WithTimeout(s.ctx, 300*time.Millisecond)
	defer cancel()
	_, errTopics := s.tr.Topics(ctx, s.name("in"))
	_, errOffsets := s.tr.Offsets(ctx, []tp{s.tp("in", 0)})
	_, errProducer := s.tr.Producer(ctx, s.name("q"))
	_, errCommitted := m.group.Committed(ctx, []tp{s.tp("in", 0)})
	for what, err := range map[string]error{"Topics": errTopics, "Offsets": errOffsets, "Producer": errProducer, "Committed": errCommitted} {
		if !errors.Is(err, context.DeadlineExceeded) {
			s.Errorf("%s without a cluster: %v; want %v", what, err, context.DeadlineExceeded)
		}
	}
	late, cancelLate := context.WithTimeout(s.ctx, 300*time.Millisecond)
	defer cancelLate()
	for name, p := range map[string]runtime.Producer{"transactional": p, "idempotent": idempotent} {
		res := p.Commit(late, runtime.Commit{Records: [][]record.Record{s.words("out", 1, name)}})
		if res.Outcome == runtime.Committed || res.Outcome == runtime.Fenced {
			s.Errorf("%s: a commit without a cluster: %v", name, res.Outcome)
		}
	}
	s.ok(s.place.Start())
	for _, p := range []runtime.Producer{p, idempotent} {
		s.ok(p.Recover(s.ctx))
		s.send(p, s.words("out", 0, "c"))
	}
}
