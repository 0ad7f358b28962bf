package conformance

import (
	"encoding/binary"
	"fmt"

	"github.com/weirstream/weir/core/store"
)

func bulkChecks() []StoreCheck {
	return []StoreCheck{
		{Name: "bulk/restore", Run: checkRestore},
		{Name: "random/model", Run: checkRandom},
	}
}

// entriesOfRestore is 1,000,000, and a tenth of it with -short or with the race
// detector, which is ten times as slow. make conformance does both.
func entriesOfRestore() int {
	if short() || raceEnabled {
		return 100_000
	}
	return 1_000_000
}

// checkRestore fills a space the way a restore does: batches of 50,000
// records in an order that is not that of keys, each with its position.
func checkRestore(tb TB, f StoreFactory) {
	entries := entriesOfRestore()
	const perBatch = 50_000
	place := f.New(tb)
	s := mustOpen(tb, place)
	_, _, err := s.Open(spaceA(), 1)
	if err != nil {
		tb.Fatalf("opening: %v", err)
	}
	var b store.Batch
	for from := 0; from < entries; from += perBatch {
		b.Reset()
		p := b.Part(spaceA(), 1)
		for i := from; i < from+perBatch; i++ {
			p.Put(restoreKey(restoreOrder(i, entries)), restoreValue(restoreOrder(i, entries)))
		}
		p.Position = store.Position{Changelog: int64(from + perBatch), StreamTime: -1, Exists: true}
		if err := s.Apply(&b); err != nil {
			tb.Fatalf("applying records %d to %d: %v", from, from+perBatch, err)
		}
	}
	if f.Has(Reopens) {
		if err := s.Close(); err != nil {
			tb.Fatalf("closing: %v", err)
		}
		s = mustOpen(tb, place)
	}
	r, pos, err := s.Open(spaceA(), 2)
	if err != nil || pos.Changelog != int64(entries) {
		tb.Fatalf("after a restore the position is %+v, %v; want %d", pos, err, entries)
	}
	readRestored(tb, r, entries)
	tb.Logf("%d entries; 1,000,000 without -short and -race", entries)
}

// restoreOrder is a permutation of [0, n): 7919 is prime and no factor of n.
func restoreOrder(i, n int) int { return i * 7919 % n }

func restoreKey(i int) []byte { return binary.BigEndian.AppendUint64(nil, uint64(i)) }

func restoreValue(i int) []byte { return fmt.Appendf(nil, "value of entry %d in a restored table", i) }

func readRestored(tb TB, r store.Reader, entries int) {
	tb.Helper()
	i := 0
	for e, err := range r.Scan(nil, nil) {
		if err != nil {
			tb.Fatalf("scanning: %v", err)
		}
		if string(e.Key) != string(restoreKey(i)) || string(e.Value) != string(restoreValue(i)) {
			tb.Fatalf("entry %d is %x = %q", i, e.Key, e.Value)
		}
		i++
	}
	if i != entries {
		tb.Fatalf("a scan yields %d entries, want %d", i, entries)
	}
	for i := 0; i < entries; i += entries / 1000 {
		mustGet(tb, r, string(restoreKey(i)), string(restoreValue(i)))
		mustLack(tb, r, string(restoreKey(i))+"\x00")
	}
}
