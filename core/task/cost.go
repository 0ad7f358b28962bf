package task

import "github.com/weirstream/weir/core/record"

// What an epoch is counted as, for MaxEpochBytes. A write is not in memory
// once: when its epoch is in flight there are a changelog record of it, what
// the transport makes of that, and its place in the store's batch, and
// meanwhile the next epoch grows to the same size. All of it is counted when
// the write is made, so that both epochs together stay within the bound, also
// when a store or a broker is slow. TestEpochCosts measures it.
const (
	// RecordBytes and HeaderBytes are what a transport may take for a record
	// that it sends and for each of its headers. Their bytes it leaves where
	// they are.
	RecordBytes = 208
	HeaderBytes = 56

	entryBytes  = 96  // an entry, its slot in a map and its place in the order
	changeBytes = 160 // a record.Record, in a slice that grows
	opBytes     = 64  // a store.Op, in a slice that grows

	writeBytes  = 2*entryBytes + changeBytes + RecordBytes + opBytes
	outputBytes = 2*changeBytes + RecordBytes
	headerBytes = 2*40 + HeaderBytes // a record.Header
)

// size is what an entry is counted as in a cache.
func (e *entry) size() int { return len(e.key) + cap(e.value) + entryBytes }

// cost is what a write is counted as in an epoch. Its bytes are in the entry
// and in the batch, whose buffer has room to grow, and there is a copy of the
// key for the changelog record; and once more in the other epoch's entry.
func (e *entry) cost() int { return 4*len(e.key) + 3*cap(e.value) + writeBytes }

// outputCost is what an output record is counted as in an epoch.
func outputCost(r *record.Record) int {
	n := outputBytes + 2*(len(r.Key)+len(r.Value))
	for i := range r.Headers {
		n += headerBytes + 2*len(r.Headers[i].Value)
	}
	return n
}
