package aerospike

import (
	"bytes"
	"fmt"
	"slices"
	"sync"

	"github.com/RaduBerinde/btreemap"

	"github.com/weirstream/weir/core/store"
)

// degree of the index: wide nodes, because a step between nodes misses the
// processor's cache.
const degree = 32

// A location says where the present version of an entry is. The hash tells
// whether what is found there is that version.
type location struct {
	hash  uint64
	slot  uint32
	layer uint32 // index into layers
}

type tree = btreemap.BTreeMap[[]byte, location]

func newTree() *tree { return btreemap.New[[]byte, location](degree, bytes.Compare) }

// A condition says what a space can be used for.
type condition int

const (
	unloaded condition = iota // nothing is known: the server must be asked
	ready
	damaged // only Drop helps
	taken   // another process took it over
)

// A space is one partition of one table as its owner knows it.
type space struct {
	name store.Space
	set  string

	// work is held by whatever writes the space or changes hands; it covers
	// the fields down to mu.
	work       sync.Mutex
	generation store.Generation // as the owner record has it
	ownerGen   uint32           // record generation of the owner record
	head       head             // as it should be; the server's may lag, see txn
	headGen    uint32           // record generation of the head
	txn        *transaction     // whose verdict the head on the server needs
	free       freeList
	fresh      uint32               // the first slot that was never used
	tainted    map[uint32]struct{}  // slots with writes in doubt: not used again
	live       []int                // entries in each layer
	seen       map[incarnation]bool // garbage that was collected or looked at

	mu        sync.RWMutex
	condition condition
	why       error // of damaged and taken
	index     *tree
	layers    []layer               // the last is the present incarnation
	more      map[location][]uint32 // further slots of long values
	scans     map[*scan]uint64      // running scans and the epoch they see
	epoch     uint64                // counts what makes slots free
	position  store.Position
	reader    *reader
}

func (p *space) own() layer { return p.layers[len(p.layers)-1] }

// oldestScan is the epoch of the oldest scan that runs, or the present one.
func (p *space) oldestScan() uint64 {
	p.mu.RLock()
	defer p.mu.RUnlock()
	oldest := p.epoch
	for _, e := range p.scans {
		oldest = min(oldest, e)
	}
	return oldest
}

// end makes the present reader fail.
func (p *space) end(why error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.reader != nil {
		err := fmt.Errorf("reading %s: %w", p.name, why)
		p.reader.ended.Store(&err)
		p.reader = nil
	}
}

// usable says why the space can be neither read nor written. mu is held.
func (p *space) usable() error {
	switch p.condition {
	case damaged, taken:
		return p.why
	default:
		return nil
	}
}

// lose notes that another process has the space.
func (p *space) lose() error {
	err := fmt.Errorf("%s: %w in another process", p.name, store.ErrFenced)
	p.mu.Lock()
	p.condition, p.why = taken, err
	p.mu.Unlock()
	p.end(err)
	return err
}

// spoil notes that the data cannot be trusted.
func (p *space) spoil(why error) error {
	err := fmt.Errorf("%s: %w", p.name, why)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.condition, p.why = damaged, err
	return err
}

// damage says what spoiled the space, or nil.
func (p *space) damage() error {
	p.mu.RLock()
	defer p.mu.RUnlock()
	if p.condition == damaged {
		return p.why
	}
	return nil
}

// doubtful notes that what the server holds must be read before the space is
// written again.
func (p *space) doubtful() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.condition == ready {
		p.condition = unloaded
	}
}

func (p *space) isCondition(c condition) bool {
	p.mu.RLock()
	defer p.mu.RUnlock()
	return p.condition == c
}

// adopt makes what a load found the state of the space.
func (p *space) adopt(l *loaded, h head, gen uint32, id incarnation) {
	p.txn.settle()
	p.head, p.headGen, p.txn = h, gen, nil
	p.free, p.fresh, p.tainted = l.free, l.fresh, l.tainted
	p.live = l.live
	p.mu.Lock()
	defer p.mu.Unlock()
	p.epoch++
	p.condition, p.why = ready, nil
	p.index, p.more, p.position = l.index, l.more, l.position
	p.layers = append(slices.Clone(h.bases), layer{id: id})
}

// A freed slot may be used again when no scan sees what is in it.
type freed struct {
	slot      uint32
	epoch     uint64
	tombstone bool
}

// A freeList hands slots out in the order in which they became free. That
// order is what makes plain slots enough: a tombstone comes back into use only
// after all older versions of its key were written over.
type freeList struct {
	slots []freed
	// pinned tombstones hide entries in layers below and stay until those
	// are gone.
	pinned []uint32
}

func (f *freeList) add(slot uint32, epoch uint64, tombstone bool) {
	f.slots = append(f.slots, freed{slot, epoch, tombstone})
}

// unpin makes pinned tombstones free.
func (f *freeList) unpin(epoch uint64) {
	for _, slot := range f.pinned {
		f.add(slot, epoch, true)
	}
	f.pinned = nil
}

// A taker takes slots for one batch.
type taker struct {
	space  *space
	oldest uint64
	taken  int
	stale  bool // a slot that was no tombstone was taken
	fresh  uint32
}

func (p *space) taker() *taker { return &taker{space: p, oldest: p.oldestScan(), fresh: p.fresh} }

// take returns a slot. A tombstone is not taken in the batch that takes slots
// freed before it: were the batch lost half-written, an old version of its key
// could be seen again.
func (t *taker) take() uint32 {
	f := &t.space.free
	if t.taken < len(f.slots) {
		next := f.slots[t.taken]
		if next.epoch <= t.oldest && !(next.tombstone && t.stale) {
			t.taken++
			t.stale = t.stale || !next.tombstone
			return next.slot
		}
	}
	t.fresh++
	return t.fresh - 1
}

// keep makes what was taken used.
func (t *taker) keep() {
	t.space.free.slots = t.space.free.slots[t.taken:]
	t.space.fresh = t.fresh
}
