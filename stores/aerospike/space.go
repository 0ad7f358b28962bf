package aerospike

import (
	"bytes"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"

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

	// typical is the size of values as they were written and read lately, in
	// bytes: what an answer will be like.
	typical atomic.Int64

	mu        sync.RWMutex
	condition condition
	why       error // of damaged and taken
	index     *tree
	keyBytes  int64                 // of the keys in it
	layers    []layer               // the last is the present incarnation
	more      map[location][]uint32 // further slots of long values
	scans     map[*scan]uint64      // running scans and the epoch they see
	epoch     uint64                // counts what makes slots free
	position  store.Position
	reader    *reader
}

// sized notes the size of a value. A note that is lost does no harm.
func (p *space) sized(n int) {
	old := p.typical.Load()
	p.typical.Store(old + (int64(n)-old)/16)
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
	p.index, p.keyBytes, p.more, p.position = l.index, l.keyBytes, l.more, l.position
	p.layers = append(slices.Clone(h.bases), layer{id: id})
}

// A freed slot may be used again when no scan sees what is in it.
type freed struct {
	slot   uint32
	epoch  uint64
	ticket uint64 // counts what became free
}

// A freeList hands slots out again. Two rules make plain slots enough, where
// others need deletes that last:
//
//   - Superseded versions are written over in the order in which they became
//     free.
//   - A tombstone is written over only when batches that count have written
//     over all that became free before it, the old versions of its key among
//     them. Otherwise one of these could be the newest that is left.
type freeList struct {
	stale, tombstones []freed
	tickets           uint64
	// pinned tombstones stay: they hide entries in layers below, or old
	// versions in slots that were in doubt and are never written again.
	pinned []uint32
}

func (f *freeList) add(slot uint32, epoch uint64) {
	f.stale = append(f.stale, freed{slot, epoch, f.tickets})
	f.tickets++
}

// unpin makes pinned tombstones free.
func (f *freeList) unpin(epoch uint64) {
	for _, slot := range f.pinned {
		f.tombstones = append(f.tombstones, freed{slot, epoch, f.tickets})
		f.tickets++
	}
	f.pinned = nil
}

// A taker takes slots for one batch.
type taker struct {
	space      *space
	oldest     uint64 // epoch of the oldest scan
	before     uint64 // the ticket up to which old versions were written over
	stale      []freed
	tombstones []freed
	fresh      uint32
}

func (p *space) taker() *taker {
	t := &taker{
		space: p, oldest: p.oldestScan(), before: p.free.tickets,
		stale: p.free.stale, tombstones: p.free.tombstones, fresh: p.fresh,
	}
	if len(t.stale) > 0 {
		t.before = t.stale[0].ticket
	}
	return t
}

// take returns a slot.
func (t *taker) take() uint32 {
	if s := t.tombstones; len(s) > 0 && s[0].epoch <= t.oldest && s[0].ticket < t.before {
		t.tombstones = s[1:]
		return s[0].slot
	}
	if s := t.stale; len(s) > 0 && s[0].epoch <= t.oldest {
		t.stale = s[1:]
		return s[0].slot
	}
	t.fresh++
	return t.fresh - 1
}

// keep makes what was taken used.
func (t *taker) keep() {
	f := &t.space.free
	f.stale, f.tombstones, t.space.fresh = t.stale, t.tombstones, t.fresh
}
