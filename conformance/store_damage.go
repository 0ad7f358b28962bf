package conformance

import (
	"fmt"
	"math/rand/v2"

	"github.com/weirstream/weir/core/store"
)

// checkDamage changes bytes of what is stored. Whatever is read then is right
// or refused; a dropped space works again.
func checkDamage(tb TB, f StoreFactory) {
	needHook(tb, f, "Damage", func(p StorePlace) bool { return p.Damage != nil })
	const steps = 200
	place := f.New(tb)
	runHistory(tb, place, steps, nil)
	if err := place.Damage(); err != nil {
		tb.Fatalf("damaging: %v", err)
	}
	s, err := place.Open()
	if err != nil {
		mustFail(tb, "opening a damaged store", err, store.ErrCorrupt)
		return
	}
	tb.Cleanup(func() { _ = s.Close() })
	h := history{valueBytes: 3000}
	k, err := h.prefix(s, 0, steps)
	if err == nil {
		if k == steps {
			tb.Fatalf("damage changed nothing: the place did not damage what is read")
		}
		return
	}
	mustFail(tb, "reading damaged data", err, store.ErrCorrupt)
	for _, sp := range historySpaces() {
		if _, _, err := s.Open(sp, historyGeneration); err != nil {
			mustFail(tb, "opening a damaged space", err, store.ErrCorrupt)
		}
		if err := s.Drop(sp, historyGeneration); err != nil {
			tb.Fatalf("dropping a damaged space: %v", err)
		}
	}
	if _, err := h.prefix(s, 0, 0); err != nil {
		tb.Fatalf("damaged spaces after a drop: %v", err)
	}
	m := make(model)
	for i := 1; i <= 30; i++ {
		if err := h.do(s, i); err != nil {
			tb.Fatalf("writing after a drop of damaged spaces: %v", err)
		}
		h.redo(m, i)
	}
	if _, err := h.prefix(s, 30, 30); err != nil {
		tb.Fatalf("after a rebuild of damaged spaces: %v", err)
	}
}

// damageKeys is how many keys a space has whose entries get damaged, and healings
// how often a rebuild may meet damage again.
const (
	damageKeys = 1000
	healings   = 10
)

// checkDamagedEntries damages some entries of two spaces and does what a worker
// does then: a space that cannot be read is dropped and written anew, so much of
// it that flushes and compactions meet the damage, too. At the end these spaces, and
// one that was never damaged, take writes and read back right. What an Open says
// on the way is true.
func checkDamagedEntries(tb TB, f StoreFactory) {
	needHook(tb, f, "DamageEntries", func(p StorePlace) bool { return p.DamageEntries != nil })
	place := f.New(tb)
	d := healing{tb: tb, s: mustOpen(tb, place)}
	for _, sp := range append(historySpaces(), besideSpace()) {
		d.mustWrite(sp, 0, 0) // what a store notes of its spaces lies apart from their entries
	}
	d.mustClose()
	d.s = mustOpen(tb, place)
	for round := range 3 {
		for _, sp := range historySpaces() {
			d.mustWrite(sp, round+1, round+1)
		}
	}
	d.mustClose()
	if err := place.DamageEntries(); err != nil {
		tb.Fatalf("damaging: %v", err)
	}
	d.s = mustOpen(tb, place)
	met := false
	meets := func(doing string, err error) {
		if err != nil {
			mustFail(tb, doing, err, store.ErrCorrupt)
			met = true
		}
	}
	// A compaction may have met the damage by now.
	meets("writing beside damaged data", d.openAndWrite(besideSpace(), 1, 1))
	for _, sp := range historySpaces() {
		meets("reading damaged data", d.opened(sp))
	}
	if !met {
		tb.Fatalf("damage changed nothing: the place did not damage what is read")
	}
	rounds := 40
	if short() {
		rounds = 12
	}
	d.heal(rounds)
	d.reopen(place)
}

func besideSpace() store.Space { return store.Space{Table: "beside", Partition: 1} }

// A healing is a store that is damaged. After round r a space has damageKeys
// keys with values of that round, and r in its position.
type healing struct {
	tb TB
	s  store.Store
}

func roundOf(sp store.Space, round int) *store.Batch {
	var b store.Batch
	p := b.Part(sp, historyGeneration)
	rng := rand.New(rand.NewPCG(uint64(round), uint64(sp.Partition)))
	value := make([]byte, 200)
	for i := range damageKeys {
		for j := range value {
			value[j] = byte(rng.Uint32())
		}
		if round > 0 {
			p.Put(fmt.Appendf(nil, "key %d", i), value)
		}
	}
	p.Position = store.Position{Changelog: int64(round), Exists: true}
	return &b
}

// write applies rounds of a space.
func (d *healing) write(sp store.Space, from, to int) error {
	for round := from; round <= to; round++ {
		if err := d.s.Apply(roundOf(sp, round)); err != nil {
			return err
		}
	}
	return nil
}

func (d *healing) openAndWrite(sp store.Space, from, to int) error {
	if _, _, err := d.s.Open(sp, historyGeneration); err != nil {
		return err
	}
	return d.write(sp, from, to)
}

func (d *healing) mustWrite(sp store.Space, from, to int) {
	d.tb.Helper()
	if err := d.openAndWrite(sp, from, to); err != nil {
		d.tb.Fatalf("writing %s: %v", sp, err)
	}
}

func (d *healing) mustClose() {
	d.tb.Helper()
	if err := d.s.Close(); err != nil {
		d.tb.Fatalf("closing: %v", err)
	}
}

// opened opens a space and reads it; its position and its entries must be those of
// one round, or it has neither. It returns what the store says.
func (d *healing) opened(sp store.Space) error {
	d.tb.Helper()
	r, pos, err := d.s.Open(sp, historyGeneration)
	if err != nil {
		return err
	}
	m := make(model)
	if pos.Exists {
		m.apply(roundOf(sp, int(pos.Changelog)))
	}
	differs, err := m.at(sp).difference(r, pos)
	if differs != "" {
		d.tb.Fatalf("%s, of which an Open says %+v: %s", sp, pos, differs)
	}
	return err
}

// heal rebuilds what is damaged or lost until every space is whole.
func (d *healing) heal(rounds int) {
	d.tb.Helper()
	var err error
	for n := range healings {
		if err = d.once(rounds); err == nil {
			d.tb.Logf("healed after %d rebuilds", n+1)
			return
		}
		mustFail(d.tb, "rebuilding what is damaged", err, store.ErrCorrupt)
		d.tb.Logf("rebuild %d: %v", n+1, err)
	}
	d.tb.Fatalf("what is damaged was dropped and rebuilt %d times and is not healed: %v", healings, err)
}

// once rebuilds the spaces, writes the one beside them, and reads all.
func (d *healing) once(rounds int) error {
	d.tb.Helper()
	for _, sp := range historySpaces() {
		if err := d.opened(sp); err != nil {
			mustFail(d.tb, "opening and reading a damaged space", err, store.ErrCorrupt)
		}
		if err := d.s.Drop(sp, historyGeneration); err != nil {
			return err
		}
		if err := d.opened(sp); err != nil {
			return err
		}
		if err := d.write(sp, 1, rounds); err != nil {
			return err
		}
	}
	if err := d.write(besideSpace(), 2, rounds); err != nil {
		mustFail(d.tb, "writing the space beside", err, store.ErrCorrupt)
		if err := d.opened(besideSpace()); err != nil {
			return err
		}
		if err := d.write(besideSpace(), 2, rounds); err != nil {
			return err
		}
	}
	for _, sp := range append(historySpaces(), besideSpace()) {
		if err := d.opened(sp); err != nil {
			return err
		}
	}
	return nil
}

// reopen closes the store and opens it again: everything is there, unless it says
// that it met damage once more.
func (d *healing) reopen(place StorePlace) {
	d.tb.Helper()
	closing := d.s.Close()
	if closing != nil {
		mustFail(d.tb, "closing", closing, store.ErrCorrupt)
	}
	s, err := place.Open()
	if err != nil && closing != nil {
		mustFail(d.tb, "opening what met damage when it was closed", err, store.ErrCorrupt)
		return
	}
	if err != nil {
		d.tb.Fatalf("opening a store that was healed: %v", err)
	}
	d.tb.Cleanup(func() { _ = s.Close() })
	d.s = s
	for _, sp := range append(historySpaces(), besideSpace()) {
		if err := d.opened(sp); err != nil {
			d.tb.Fatalf("%s after a restart: %v", sp, err)
		}
	}
}
