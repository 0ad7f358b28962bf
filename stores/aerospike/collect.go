package aerospike

import (
	"slices"
	"time"

	as "github.com/aerospike/aerospike-client-go/v7"
)

const (
	// sweepBatch is how many records one call of the collector deletes at
	// most, and sweepBeyond how many it tries first beyond those it knows of:
	// each that is not there costs the client an error with its stack.
	sweepBatch  = 1024
	sweepBeyond = 32
	// probeSlots of a swept incarnation are looked at for records that came
	// back.
	probeSlots = 32
	// keptSwept is how many swept incarnations a head remembers.
	keptSwept = 8
	// manyTxns are retired before the collector deletes their records.
	manyTxns = 256
)

// kick wakes the collector.
func (s *Store) kick() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// collect deletes dead incarnations, one call at a time, until the store
// closes. What it does not finish, the next owner of the space does.
func (s *Store) collect() {
	for {
		select {
		case <-s.stop.Done():
			return
		case <-s.wake:
		}
		s.mu.Lock()
		spaces := make([]*space, 0, len(s.spaces))
		for _, p := range s.spaces {
			spaces = append(spaces, p)
		}
		s.mu.Unlock()
		for _, p := range spaces {
			for s.collectOne(p) {
			}
		}
		s.deleteTxns(manyTxns)
	}
}

// collectOne deletes one dead incarnation of a space, or reports that there is
// none.
func (s *Store) collectOne(p *space) bool {
	g, ok := p.dead()
	if !ok {
		return false
	}
	if g.swept {
		back, err := s.cameBack(p, g)
		if err != nil || !back {
			p.mark(g.id, func(g *garbage) {})
			return err == nil
		}
	}
	began := time.Now()
	n, err := s.sweep(p, g)
	if err != nil {
		s.cfg.Logger.Debug("collecting a dead incarnation", "space", p.name.String(), "error", err)
		p.postpone(g.id)
		return false
	}
	s.cfg.Logger.Debug("collected a dead incarnation", "space", p.name.String(), "records", n, "took", time.Since(began))
	p.mark(g.id, func(g *garbage) { g.swept = true })
	return true
}

// dead returns an incarnation that the collector has not seen to since the
// space was opened, when no scan reads it.
func (p *space) dead() (garbage, bool) {
	p.work.Lock()
	defer p.work.Unlock()
	if !p.isCondition(ready) || p.oldestScan() < p.deadEpoch() {
		return garbage{}, false
	}
	for _, g := range p.head.garbage {
		if !p.seen[g.id] {
			return g, true
		}
	}
	return garbage{}, false
}

// deadEpoch is the present epoch: an incarnation may have died just now.
func (p *space) deadEpoch() uint64 {
	p.mu.RLock()
	defer p.mu.RUnlock()
	return p.epoch
}

// mark notes that an incarnation was seen to, and forgets the oldest swept
// ones. The next head says so on the server.
func (p *space) mark(id incarnation, change func(g *garbage)) {
	p.work.Lock()
	defer p.work.Unlock()
	p.seen[id] = true
	p.head.garbage = slices.Clone(p.head.garbage)
	swept := 0
	for i := range p.head.garbage {
		if g := &p.head.garbage[i]; g.id == id {
			change(g)
		}
		swept += int(bit(p.head.garbage[i].swept))
	}
	p.head.garbage = slices.DeleteFunc(p.head.garbage, func(g garbage) bool {
		if g.swept && swept > keptSwept {
			swept--
			return true
		}
		return false
	})
}

func (p *space) postpone(id incarnation) {
	p.work.Lock()
	defer p.work.Unlock()
	p.seen[id] = true
}

// cameBack looks at the first records of a swept incarnation.
func (s *Store) cameBack(p *space, g garbage) (bool, error) {
	records := []as.BatchRecordIfc{as.NewBatchReadHeader(nil, s.headKey(p.set, g.id))}
	for slot := range uint32(probeSlots) {
		records = append(records, as.NewBatchReadHeader(nil, s.slotKey(p.set, g.id, slot)))
	}
	back := false
	err := s.call(records, func(_ int, o outcome, _ bool) { back = back || o == done })
	return back, err
}

// sweep deletes the records of an incarnation: its slots, and on as long as
// there is something, because its owner may have written more than its head
// says; then its head.
func (s *Store) sweep(p *space, g garbage) (int, error) {
	n := 0
	for from, beyond := uint32(0), uint32(sweepBeyond); ; {
		step := min(g.slots-min(from, g.slots), sweepBatch)
		known := step > 0
		if !known {
			step, beyond = beyond, min(2*beyond, sweepBatch)
		}
		hits, err := s.sweepSlots(p, g, from, from+step)
		if err != nil {
			return n, err
		}
		n += hits
		from += step
		if !known && hits == 0 {
			break
		}
	}
	err := s.call([]as.BatchRecordIfc{s.removal(s.headKey(p.set, g.id))}, func(int, outcome, bool) { n++ })
	return n, err
}

// sweepSlots deletes slots and returns how many of them there were.
func (s *Store) sweepSlots(p *space, g garbage, from, to uint32) (hits int, err error) {
	var records []as.BatchRecordIfc
	for slot := from; slot < to; slot++ {
		records = append(records, s.removal(s.slotKey(p.set, g.id, slot)))
	}
	err = s.call(records, func(_ int, o outcome, _ bool) { hits += int(bit(o == done)) })
	return hits, err
}

// removal deletes a record, or makes it short and short-lived.
func (s *Store) removal(k *as.Key) as.BatchRecordIfc {
	if s.cfg.GarbageTTL == 0 {
		return as.NewBatchDelete(nil, k)
	}
	policy := as.NewBatchWritePolicy()
	policy.RecordExistsAction = as.REPLACE_ONLY
	policy.Expiration = uint32(s.cfg.GarbageTTL / time.Second)
	return as.NewBatchWrite(policy, k, as.PutOp(as.NewBin(metaBin, []byte{0})))
}

// retire hands the record of a transaction that nobody needs to the collector.
func (s *Store) retire(id txnID) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.retired = append(s.retired, id)
}

// deleteTxns deletes retired records once there are enough. One that is left
// behind costs its room and does no harm.
func (s *Store) deleteTxns(enough int) {
	s.mu.Lock()
	ids := s.retired
	if len(ids) < enough {
		s.mu.Unlock()
		return
	}
	s.retired = nil
	s.mu.Unlock()
	records := make([]as.BatchRecordIfc, 0, len(ids))
	for _, id := range ids {
		records = append(records, s.removal(s.txnKey(id)))
	}
	if len(records) > 0 {
		_ = s.attempt(records)
	}
}
