package store

import (
	"encoding/base64"
	"errors"
	"fmt"
	"iter"
)

// Conditions that callers branch on; adapters wrap them with detail.
var (
	// ErrFenced marks a write or an open by a generation that no longer
	// owns the space. Nothing was changed.
	ErrFenced = errors.New("store: fenced by a newer generation")
	// ErrCorrupt marks data that fails its checks. The space must be
	// dropped and rebuilt from its changelog; the data is never served.
	ErrCorrupt = errors.New("store: corrupt")
	// ErrClosed marks the use of a store or space after Close or Release.
	ErrClosed = errors.New("store: closed")
	// ErrUnavailable marks a store that cannot be reached now. What was asked
	// for may have happened or not; opening the space again finds out, once
	// the store is back.
	ErrUnavailable = errors.New("store: unavailable")
	// ErrLocked marks a store that another process holds open.
	ErrLocked = errors.New("store: locked by another process")
)

// A Space names one partition of one table.
type Space struct {
	Table     string
	Partition int32
}

func (s Space) String() string { return fmt.Sprintf("%s/%d", s.Table, s.Partition) }

// Generation tags ownership: it grows whenever a worker takes a task anew,
// and a newer generation fences every older one.
type Generation int64

// A LogID is the identity of a topic that was created once: Kafka's topic ID
// (KIP-516). A topic that is deleted and created anew has another. The zero
// LogID is that of a broker, or of a store's data, that has none.
type LogID [16]byte

// String writes it as Kafka's tools do.
func (id LogID) String() string { return base64.RawURLEncoding.EncodeToString(id[:]) }

// A Position says which prefix of the log a space holds.
type Position struct {
	// Log is the topic that Changelog and, for a global table, Inputs are
	// offsets of.
	Log LogID
	// Changelog is the offset of the next changelog record to apply. 0 with
	// Exists false when nothing was ever applied.
	Changelog int64
	// StreamTime is the stream time of the owning task at that point, in
	// Unix milliseconds, or record.NoTime.
	StreamTime int64
	// At is a time, in Unix milliseconds, at which the space held all that
	// was committed to its log: one that was away for longer than tombstones
	// are kept must be rebuilt.
	At int64
	// Inputs are the input offsets of the owning task at that point, for
	// people and checkers; the group's committed offsets are authoritative.
	Inputs []InputOffset
	// Exists is false for a space that has no position yet.
	Exists bool
}

// An InputOffset is the next offset to read from one input partition.
type InputOffset struct {
	Topic     string
	Partition int32
	Offset    int64
}

// A Store keeps spaces. One store serves one worker; its methods may be
// called from several goroutines at once. A space is written by one goroutine
// at a time; its Reader may be used beside that and by several goroutines.
type Store interface {
	// Open makes a space ready for generation gen and returns it with the
	// position it durably holds. It fails with ErrFenced when a newer
	// generation has opened it, with ErrCorrupt when its data fails checks.
	//
	// Opening a space again in the same generation is allowed. A newer
	// generation takes the space over: Readers of older ones fail with
	// ErrFenced from then on. After ErrCorrupt the space is open, so that
	// Drop can empty it, unless the whole store cannot be read.
	Open(sp Space, gen Generation) (Reader, Position, error)

	// Apply writes the whole batch atomically: all data and all positions,
	// or nothing. It does not keep the batch. A write for a space that a
	// newer generation opened fails the whole batch with ErrFenced, a write
	// for one that is not open in the part's generation with ErrClosed.
	// Within a part a later write of a key wins.
	// Apply does not promise to survive a crash of the machine, only of the
	// process; see Flush.
	Apply(b *Batch) error

	// Drop removes the data and the position of an open space, as the first
	// step of a rebuild. The space stays open and owned. It fails with
	// ErrFenced and ErrClosed like Apply.
	Drop(sp Space, gen Generation) error

	// Release gives an open space up, keeping its data. Its Reader fails
	// with ErrClosed afterwards. Releasing a space that is not open, or is
	// open in another generation, does nothing.
	Release(sp Space, gen Generation) error

	// Flush makes everything applied so far survive a crash of the machine.
	Flush() error

	// Close flushes and closes the store. Closing twice is harmless. It may
	// wait for the Gets and Scans that run, so it must not be called from the
	// body of a scan. Everything else fails with ErrClosed afterwards.
	Close() error
}

// A Lister is a Store that can say which spaces it keeps. A worker uses it to
// remove what tasks left behind that are elsewhere by now.
type Lister interface {
	Store
	// Spaces lists the spaces that may have data, open or not, in no order.
	// Those of other workers, in a shared store, are not among them.
	Spaces() []Space
}

// Shared reports whether the spaces of a store are those of all workers: one
// that takes a task over finds its state there. A store says so with a method
// Shared() bool; one without it is a worker's own.
func Shared(s Store) bool {
	shared, ok := s.(interface{ Shared() bool })
	return ok && shared.Shared()
}

// InHeap reports whether what a store holds in memory is in the Go heap, where
// the runtime's memory limit covers it. A store says so with a method InHeap()
// bool; one without it is taken to have caches of its own beside the heap.
func InHeap(s Store) bool {
	in, ok := s.(interface{ InHeap() bool })
	return ok && in.InHeap()
}

// A Reader reads one open space.
type Reader interface {
	// Get appends the value of key to dst and returns it with true, or dst
	// and false when the key is absent. The key is not kept. With room in
	// dst, a good adapter allocates nothing.
	Get(key, dst []byte) ([]byte, bool, error)

	// Scan yields the entries with from <= key < to in ascending byte order;
	// a nil to means no upper bound, a nil from no lower bound. Slices are
	// valid until the next step. A Scan sees the state of the moment it
	// began, even when the space is dropped meanwhile; a Release, a takeover
	// or a Close ends it with an error. An error is yielded last, with a nil
	// key.
	Scan(from, to []byte) iter.Seq2[Entry, error]
}

// An Entry is one key and its value.
type Entry struct {
	Key, Value []byte
}

// A MultiReader is a Reader that can fetch many keys in one call. Where it is
// there, tasks read the entries of buffered records ahead with it once they
// have seen that records are looked up by their keys. Stores whose reads cost
// a round trip should have it.
type MultiReader interface {
	Reader
	// GetMulti calls got once for each key, in any order, with the index of
	// the key and its value, or found false. The value is valid during the
	// call.
	GetMulti(keys [][]byte, got func(i int, value []byte, found bool)) error
}
