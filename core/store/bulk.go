package store

// A BulkLoader is a Store that can fill an empty space faster than by
// batches: what it is given becomes visible at once and at the end, so that it
// can be sorted first and needs no log. A rebuild from a changelog uses it
// where it is there.
type BulkLoader interface {
	Store

	// Load empties an open space, as Drop does, and begins to fill it. Until
	// Commit the space is empty, also after a crash, and must not be written
	// otherwise. memory bounds the bytes that the Loader holds at a time; it
	// keeps the rest on disk. It fails with ErrFenced and ErrClosed like
	// Apply.
	Load(sp Space, gen Generation, memory int) (Loader, error)
}

// A Loader fills one space. It is for one goroutine, and must be ended with
// Commit or Abort.
type Loader interface {
	// Add takes the next write, a nil value being a delete; of several
	// writes of a key the last one wins. It keeps neither slice.
	Add(key, value []byte) error

	// Commit makes all writes and the position visible atomically: after a
	// crash at any moment the space is empty, or complete with its position.
	// As with Apply, a crash of the machine may undo it until Flush. It fails
	// with ErrFenced when a newer generation opened the space meanwhile, and
	// with ErrClosed when it was released; then nothing is visible.
	Commit(p Position) error

	// Abort gives up what was added; the space stays empty. After Commit, or
	// a second time, it does nothing.
	Abort()
}
