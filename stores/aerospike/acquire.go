package aerospike

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"github.com/weirstream/weir/core/store"
)

// attempts bounds how often two owners may get in each other's way.
const attempts = 16

func randomID() uint64 {
	var b [8]byte
	fillRandom(b[:])
	return binary.BigEndian.Uint64(b[:])
}

// acquire takes a space for generation gen and loads it. After
// store.ErrCorrupt the space is taken, and can be dropped. work is held.
func (s *Store) acquire(p *space, gen store.Generation) error {
	for range attempts {
		err := s.tryAcquire(p, gen)
		if !errors.Is(err, errLost) {
			return err
		}
	}
	return fmt.Errorf("aerospike: opening %s: others keep taking it: try again", p.name)
}

func (s *Store) tryAcquire(p *space, gen store.Generation) error {
	owner, err := s.readOwner(p)
	switch {
	case err != nil:
		return err
	case owner == nil:
		return s.renew(p, gen, nil)
	case owner.generation > gen:
		return fmt.Errorf("opening %s in generation %d: %w: generation %d has it", p.name, gen, store.ErrFenced, owner.generation)
	}
	h, hgen, err := s.readHead(p, owner.current)
	if err == nil && h == nil {
		err = fmt.Errorf("%w: the record that says what was committed is missing", store.ErrCorrupt)
	}
	if errors.Is(err, store.ErrCorrupt) {
		return s.takeDamaged(p, gen, []layer{{id: owner.current}}, nil, err)
	}
	if err != nil {
		return err
	}
	if err := s.resolve(h); err != nil {
		return err
	}
	goOn := h.released && !h.sealed
	if hgen, err = s.seize(p, owner.current, h, hgen, goOn); err != nil {
		return err
	}
	all := append(slices.Clone(h.bases), layer{owner.current, h.now.seq, h.now.slots})
	layers := all
	if !goOn {
		h.bases = all
		layers = append(slices.Clone(all), layer{})
	}
	l, err := s.load(p, layers, h.now)
	if errors.Is(err, store.ErrCorrupt) {
		return s.takeDamaged(p, gen, all, h.garbage, err)
	}
	if err != nil {
		return err
	}
	if goOn {
		if err := s.writeOwner(p, gen, owner.current); err != nil {
			return err
		}
		p.adopt(l, *h, hgen, owner.current)
		return nil
	}
	s.cfg.Logger.Info("took a space over from a worker that did not release it", "space", p.name.String(), "layers", len(h.bases))
	return s.stack(p, gen, h, l)
}

// seize makes the head of an incarnation unwritable for who had it: sealed,
// or, when it was released, this store's own.
func (s *Store) seize(p *space, id incarnation, h *head, hgen uint32, goOn bool) (uint32, error) {
	if h.sealed {
		return hgen, nil
	}
	h.session, h.sealed, h.released = s.session, !goOn, false
	w := &swap{key: s.headKey(p.set, id), gen: hgen, data: h.encode()}
	err := s.swap(w)
	return w.gen, err
}

// resolve decides about a batch that its owner left undecided: if nobody has
// said that it counts, nobody will.
func (s *Store) resolve(h *head) error {
	if !h.pending {
		return nil
	}
	v, err := s.decide(h.txn, aborted)
	if err != nil {
		return err
	}
	if v == committed {
		h.now = h.next
	} else if s.hooks.undecided {
		h.now.position = h.next.position
	}
	h.pending, h.next = false, state{}
	return nil
}

// stack begins a new incarnation on top of what was loaded. Too many layers
// are copied into it.
func (s *Store) stack(p *space, gen store.Generation, h *head, l *loaded) error {
	id := incarnation(randomID())
	next := head{session: s.session, now: h.now, bases: h.bases, garbage: h.garbage}
	next.now.seq, next.now.slots = 0, 0
	if len(h.bases) >= s.cfg.MaxLayers || l.index.Len() == 0 {
		for _, b := range h.bases {
			next.garbage = append(next.garbage, garbage{id: b.id, slots: b.slots})
		}
		next.bases = nil
		var err error
		if l, err = s.copyLayers(p, h.bases, l, id, &next.now); err != nil {
			return err
		}
	}
	return s.install(p, gen, id, next, l)
}

// renew begins a new, empty incarnation.
func (s *Store) renew(p *space, gen store.Generation, dead []garbage) error {
	return s.install(p, gen, incarnation(randomID()), head{session: s.session, garbage: dead}, newLoaded(1))
}

// install makes an incarnation the present one: its head first, so that the
// owner record never names one that is not there.
func (s *Store) install(p *space, gen store.Generation, id incarnation, h head, l *loaded) error {
	w := &swap{key: s.headKey(p.set, id), data: h.encode()}
	if err := s.swap(w); err != nil {
		return err
	}
	if err := s.writeOwner(p, gen, id); err != nil {
		return err
	}
	p.adopt(l, h, w.gen, id)
	return nil
}

// takeDamaged takes a space whose data cannot be read, for Drop.
func (s *Store) takeDamaged(p *space, gen store.Generation, layers []layer, dead []garbage, why error) error {
	last := len(layers) - 1
	if err := s.writeOwner(p, gen, layers[last].id); err != nil {
		return err
	}
	p.txn.settle()
	p.txn = nil
	p.head = head{bases: layers[:last], garbage: dead}
	p.mu.Lock()
	p.layers = layers
	p.mu.Unlock()
	return p.spoil(why)
}

// readOwner reads the owner record, nil when there is none, and keeps its
// record generation. A damaged one counts as one of no generation.
func (s *Store) readOwner(p *space) (*ownerRecord, error) {
	data, gen, err := s.read(s.ownerKey(p.set, p.name))
	p.ownerGen = gen
	if err != nil || data == nil {
		return nil, err
	}
	o, err := decodeOwner(data)
	if err != nil {
		s.cfg.Logger.Error("the owner record of a space is damaged: it is made anew", "space", p.name.String())
		return &ownerRecord{generation: -1 << 63}, nil
	}
	return &o, nil
}

// writeOwner writes the owner record, or fails with errLost.
func (s *Store) writeOwner(p *space, gen store.Generation, id incarnation) error {
	o := ownerRecord{session: s.session, generation: gen, current: id}
	w := &swap{key: s.ownerKey(p.set, p.name), gen: p.ownerGen, data: o.encode()}
	if err := s.swap(w); err != nil {
		return err
	}
	p.ownerGen, p.generation = w.gen, gen
	return nil
}

func (s *Store) readHead(p *space, id incarnation) (*head, uint32, error) {
	data, gen, err := s.read(s.headKey(p.set, id))
	if err != nil || data == nil {
		return nil, 0, err
	}
	h, err := decodeHead(data)
	return h, gen, err
}

// regain loads a space again whose state on the server is not known. work is
// held.
func (s *Store) regain(p *space) error {
	if !p.isCondition(unloaded) {
		p.mu.RLock()
		defer p.mu.RUnlock()
		return p.usable()
	}
	err := s.acquire(p, p.generation)
	if errors.Is(err, store.ErrFenced) {
		return p.lose()
	}
	return err
}
