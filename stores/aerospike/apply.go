package aerospike

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"math"
	"slices"
	"sync/atomic"

	"github.com/weirstream/weir/core/store"
)

// A plan is one part of a batch on its way to the server.
type plan struct {
	part    *store.Part
	space   *space
	taker   *taker
	writer  writer
	changes []change
	next    state
}

// A change is what a batch does to one entry of the index.
type change struct {
	key       []byte // the index's own, when it has the entry
	at        location
	more      []uint32
	had       bool // the index has the entry
	gone      bool
	tombstone uint32 // when gone
}

// Apply implements store.Store. Data goes into slots that nobody reads, then
// the heads of the incarnations make it count; see doc.go.
func (s *Store) Apply(b *store.Batch) error {
	if err := s.begin(); err != nil {
		return fmt.Errorf("applying a batch: %w", err)
	}
	defer s.ops.Done()
	plans, unlock, err := s.lockParts(b.Parts())
	defer unlock()
	if err != nil {
		return err
	}
	if err := s.apply(plans); err != nil {
		return fmt.Errorf("applying a batch: %w", err)
	}
	return nil
}

// lockParts locks the spaces of a batch, in the order of their names, and
// checks who may write them. Parts that do nothing are left out.
func (s *Store) lockParts(parts []store.Part) (plans []*plan, unlock func(), err error) {
	var locked []*space
	unlock = func() {
		for _, p := range locked {
			p.work.Unlock()
		}
	}
	order := make([]*store.Part, 0, len(parts))
	for i := range parts {
		order = append(order, &parts[i])
	}
	slices.SortFunc(order, func(a, b *store.Part) int {
		return cmp.Or(cmp.Compare(a.Space.Table, b.Space.Table), cmp.Compare(a.Space.Partition, b.Space.Partition))
	})
	for _, part := range order {
		p := s.space(part.Space)
		p.work.Lock()
		locked = append(locked, p)
		if err := s.check(part.Space, part.Generation); err != nil {
			return nil, unlock, err
		}
		if len(part.Ops) > 0 || part.Position.Exists {
			plans = append(plans, &plan{part: part, space: p})
		}
	}
	return plans, unlock, nil
}

func (s *Store) apply(plans []*plan) error {
	if len(plans) == 0 {
		return nil
	}
	n := 0
	for _, pl := range plans {
		n += len(pl.part.Ops)
		if err := s.regain(pl.space); err != nil {
			return err
		}
	}
	records := make([]slotWrite, 0, n)
	for _, pl := range plans {
		if err := s.plan(pl); err != nil {
			return err
		}
		records = append(records, pl.writer.records...)
		pl.writer.records = nil
	}
	err := s.writeSlots(records, func(r *slotWrite) { r.writer.space.tainted[r.slot] = struct{}{} })
	if err == nil {
		err = s.commit(plans)
	}
	if err != nil {
		// Slots are written that do not count, or perhaps do.
		for _, pl := range plans {
			pl.space.doubtful()
		}
		return err
	}
	for _, pl := range plans {
		pl.space.finish(pl)
	}
	s.kick()
	s.heed()
	return nil
}

// plan gives each write of a part its slots.
func (s *Store) plan(pl *plan) error {
	p := pl.space
	pl.taker = p.taker()
	if s.hooks.ignoreScans {
		pl.taker.oldest = math.MaxUint64
	}
	pl.next = p.head.now
	pl.next.seq++
	pl.writer = writer{
		store: s, space: p, id: p.own().id, layer: uint32(len(p.layers) - 1),
		seq: pl.next.seq, take: pl.taker.take, records: make([]slotWrite, 0, len(pl.part.Ops)),
	}
	pl.changes = make([]change, 0, len(pl.part.Ops))
	if err := pl.writes(); err != nil {
		return err
	}
	pl.next.slots = max(pl.next.slots, pl.taker.fresh)
	if pl.part.Position.Exists {
		pl.next.position = store.AppendPosition(nil, pl.part.Position)
	}
	if s.hooks.plan != nil {
		s.hooks.plan(pl)
	}
	return nil
}

func (pl *plan) writes() error {
	ops := pl.part.Ops
	last := make(map[string]int, len(ops))
	for i := range ops {
		last[string(ops[i].Key)] = i
	}
	pl.space.mu.RLock()
	defer pl.space.mu.RUnlock()
	for i := range ops {
		if op := &ops[i]; last[string(op.Key)] == i {
			if err := pl.write(op); err != nil {
				return err
			}
		}
	}
	return nil
}

func (pl *plan) write(op *store.Op) error {
	key, old, had := pl.space.index.Get(op.Key)
	if !had {
		key = op.Key
	} else {
		pl.next.sum -= old.hash
		pl.next.count--
	}
	if op.Value == nil {
		if had {
			pl.changes = append(pl.changes, change{key: key, gone: true, tombstone: pl.writer.tombstone(op.Key)})
		}
		return nil
	}
	at, more, err := pl.writer.entry(op.Key, op.Value)
	if err != nil {
		return err
	}
	pl.next.sum += at.hash
	pl.next.count++
	pl.changes = append(pl.changes, change{key: key, at: at, more: more, had: had})
	return nil
}

// A transaction is a batch of several spaces. Its record on the server decides
// about it as long as the head of any of them says so.
type transaction struct {
	id    txnID
	store *Store
	left  atomic.Int32
}

// settle notes that one head does not need the record any more.
func (t *transaction) settle() {
	if t != nil && t.left.Add(-1) == 0 {
		t.store.retire(t.id)
	}
}

// commit makes the batch count. One space needs one write: its head. Several
// have their heads say: if the transaction's record says so; then the record
// is written.
func (s *Store) commit(plans []*plan) error {
	var txn *transaction
	if len(plans) > 1 && !s.hooks.apart {
		txn = &transaction{store: s}
		fillRandom(txn.id[:])
		txn.left.Store(int32(len(plans)))
	}
	swaps, heads := make([]*swap, len(plans)), make([]head, len(plans))
	for i, pl := range plans {
		heads[i] = pl.space.nextHead(s.session)
		if txn == nil {
			heads[i].now = pl.next
		} else {
			heads[i].pending, heads[i].txn, heads[i].next = true, txn.id, pl.next
		}
		swaps[i] = &swap{key: s.headKey(pl.space.set, pl.space.own().id), gen: pl.space.headGen, data: heads[i].encode()}
	}
	lost, err := s.swapAll(swaps)
	if err != nil {
		return err
	}
	for i, pl := range plans {
		if lost[i] {
			err = errors.Join(err, s.blame(pl.space))
		}
	}
	if err != nil {
		return err
	}
	if txn != nil {
		if err := s.decideOwn(txn, plans); err != nil {
			return err
		}
	}
	for i, pl := range plans {
		p := pl.space
		p.txn.settle()
		p.head, p.headGen, p.txn = heads[i], swaps[i].gen, txn
		p.head.now, p.head.pending, p.head.next = pl.next, false, state{}
	}
	return nil
}

// decideOwn writes the record of a transaction. When somebody who took one of
// the spaces over was faster, the batch does not count.
func (s *Store) decideOwn(txn *transaction, plans []*plan) error {
	v, err := s.decide(txn.id, committed)
	if err != nil || v == committed {
		return err
	}
	for _, pl := range plans {
		err = errors.Join(err, s.blame(pl.space))
	}
	if err == nil {
		err = errors.New("aerospike: somebody else undid the batch: try again")
	}
	return err
}

// decide writes the verdict of a transaction unless there is one, and returns
// the one that holds.
func (s *Store) decide(id txnID, v verdict) (verdict, error) {
	w := &swap{key: s.txnKey(id), data: v.encode(s.session)}
	err := s.swap(w)
	if err == nil || !errors.Is(err, errLost) {
		return v, err
	}
	data, _, err := s.read(w.key)
	if err != nil {
		return 0, err
	}
	if data == nil {
		return 0, errLost // it was there a moment ago
	}
	return decodeVerdict(data)
}

// blame finds out why the head of a space is not as this owner left it.
func (s *Store) blame(p *space) error {
	data, _, err := s.read(s.ownerKey(p.set, p.name))
	if err != nil {
		return err
	}
	if data != nil {
		if o, err := decodeOwner(data); err == nil && o.session != s.session {
			return p.lose()
		}
	}
	h, _, err := s.readHead(p, p.own().id)
	if err == nil && h != nil && h.session != s.session {
		return p.lose() // somebody is about to write the owner record
	}
	return p.spoil(fmt.Errorf("%w: the server lost what it had acknowledged", store.ErrCorrupt))
}

// nextHead is the head to write next. The oldest layers are left out when
// nothing in them is alive.
func (p *space) nextHead(session uint64) head {
	h := p.head
	h.session, h.sealed, h.released = session, false, false
	h.garbage = slices.Clone(h.garbage)
	gone := len(p.layers) - 1 - len(h.bases) // left out before
	for len(h.bases) > 0 && p.live[gone] == 0 {
		h.garbage = append(h.garbage, garbage{id: h.bases[0].id, slots: h.bases[0].slots})
		h.bases = h.bases[1:]
		gone++
	}
	return h
}

// finish makes a batch that counts the state of the space.
func (p *space) finish(pl *plan) {
	pl.taker.keep()
	p.mu.Lock()
	defer p.mu.Unlock()
	p.epoch++
	own := uint32(len(p.layers) - 1)
	for i := range pl.changes {
		c := &pl.changes[i]
		var old location
		var had bool
		if c.gone {
			_, old, had = p.index.Delete(c.key)
			p.keyBytes -= int64(len(c.key))
		} else {
			if !c.had {
				c.key = bytes.Clone(c.key) // out of the batch
				p.keyBytes += int64(len(c.key))
			}
			_, old, had = p.index.ReplaceOrInsert(c.key, c.at)
			p.live[own]++
			if len(c.more) > 0 {
				p.more[c.at] = c.more
			}
		}
		if had {
			p.discard(old, own)
		}
	}
	for i := range pl.changes {
		if c := &pl.changes[i]; c.gone {
			p.free.pinned = append(p.free.pinned, c.tombstone)
		}
	}
	if len(p.head.bases) == 0 && len(p.tainted) == 0 {
		p.free.unpin(p.epoch)
	}
	if p.condition == ready && len(p.free.pinned) > manyPinned+p.index.Len() {
		p.condition = unloaded // and begins a new incarnation
	}
	if pl.part.Position.Exists {
		p.position = clonePosition(pl.part.Position)
	}
}

// manyPinned tombstones are worth a new incarnation, when they are more than
// the live entries, too.
const manyPinned = 4096

// discard frees the slots of an old version.
func (p *space) discard(old location, own uint32) {
	p.live[old.layer]--
	more := p.more[old]
	delete(p.more, old)
	if old.layer != own {
		return
	}
	p.reuse(old.slot)
	for _, slot := range more {
		p.reuse(slot)
	}
}

// reuse puts a slot on the free list.
func (p *space) reuse(slot uint32) {
	if _, bad := p.tainted[slot]; !bad {
		p.free.add(slot, p.epoch)
	}
}

func clonePosition(p store.Position) store.Position {
	p.Inputs = slices.Clone(p.Inputs)
	return p
}
