package store

import "fmt"

// A Fence keeps the rules of ownership for a store that one process uses:
// which generation has a space open, and which was the newest that ever had.
// The zero value is ready. It is not safe for concurrent use; the adapter's
// lock covers it.
type Fence struct {
	spaces map[Space]owner
}

type owner struct {
	newest Generation
	open   bool
}

// Open notes that gen takes the space, or fails with ErrFenced. It reports
// whether the space changed hands, which ends the Readers of older
// generations; opening again in the same generation changes nothing.
func (f *Fence) Open(sp Space, gen Generation) (changed bool, err error) {
	o, known := f.spaces[sp]
	if known && gen < o.newest {
		return false, fmt.Errorf("opening %s in generation %d: %w: generation %d has it", sp, gen, ErrFenced, o.newest)
	}
	if f.spaces == nil {
		f.spaces = make(map[Space]owner)
	}
	f.spaces[sp] = owner{newest: gen, open: true}
	return !known || !o.open || gen > o.newest, nil
}

// Check says whether gen may write the space now: ErrFenced when a newer
// generation opened it, ErrClosed when it is not open in gen.
func (f *Fence) Check(sp Space, gen Generation) error {
	o, known := f.spaces[sp]
	switch {
	case known && gen < o.newest:
		return fmt.Errorf("writing %s in generation %d: %w: generation %d has it", sp, gen, ErrFenced, o.newest)
	case !known || !o.open || gen > o.newest:
		return fmt.Errorf("writing %s in generation %d: %w: open it first", sp, gen, ErrClosed)
	}
	return nil
}

// Release gives the space up and reports whether gen had it open. The newest
// generation stays known: older ones remain fenced.
func (f *Fence) Release(sp Space, gen Generation) bool {
	o, known := f.spaces[sp]
	if !known || !o.open || o.newest != gen {
		return false
	}
	f.spaces[sp] = owner{newest: gen}
	return true
}
