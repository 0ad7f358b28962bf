package sim

import (
	"bytes"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/weirstream/weir"
	"github.com/weirstream/weir/core/store"
	"github.com/weirstream/weir/core/topology"
)

// A Named is a table of an application.
type Named interface {
	weir.TableRef
	Name() string
}

// Table returns the committed content of a table, of all partitions. It is
// read from the changelog and compared with the disks of the workers: when
// those hold anything else, the test fails.
func Table[K comparable, V any](s *App, table *weir.Table[K, V]) map[K]V {
	s.t.Helper()
	m := make(map[K]V)
	for _, e := range Entries(s, table) {
		m[e.Key] = e.Value
	}
	return m
}

// Entries is Table in order: by partition, then by key.
func Entries[K, V any](s *App, table *weir.Table[K, V]) []weir.Entry[K, V] {
	s.t.Helper()
	var es []weir.Entry[K, V]
	for _, raw := range s.table(table.Name()) {
		k, v := decodeEntry[K, V](s, table, raw.Key, raw.Value)
		es = append(es, weir.Entry[K, V]{Key: k, Value: v})
	}
	return es
}

// Lookup returns the committed value of one key.
func Lookup[K comparable, V any](s *App, table *weir.Table[K, V], key K) (V, bool) {
	s.t.Helper()
	v, ok := Table(s, table)[key]
	return v, ok
}

// A WindowEntry is one key and value of one window.
type WindowEntry[K, V any] struct {
	Start time.Time
	Key   K
	Value V
}

// Windows returns the committed content of a windowed table: by partition,
// then by window, then by key.
func Windows[K, V any](s *App, table *weir.WindowedTable[K, V]) []WindowEntry[K, V] {
	s.t.Helper()
	var es []WindowEntry[K, V]
	for _, raw := range s.table(table.Name()) {
		start, key, ok := topology.SplitWindowKey(raw.Key)
		if !ok {
			s.t.Fatalf("sim: table %q: %x is no key of a windowed table", table.Name(), raw.Key)
		}
		k, v := decodeEntry[K, V](s, table, key, raw.Value)
		es = append(es, WindowEntry[K, V]{time.UnixMilli(start).UTC(), k, v})
	}
	return es
}

// decodeEntry decodes an entry of a table.
func decodeEntry[K, V any](s *App, table Named, key, value []byte) (k K, v V) {
	s.t.Helper()
	info, ok := s.tables[table.Name()]
	if !ok {
		s.t.Fatalf("sim: table %q is of another application", table.Name())
	}
	dk, err := info.DecodeKey(key)
	if err != nil {
		s.t.Fatalf("sim: table %q: key %x: %v", table.Name(), key, err)
	}
	dv, err := info.DecodeValue(value)
	if err != nil {
		s.t.Fatalf("sim: table %q: value %x of key %v: %v", table.Name(), value, dk, err)
	}
	k, _ = dk.(K)
	if v, ok = dv.(V); !ok {
		s.t.Fatalf("sim: table %q: value of key %v is a %T; is the table of another application?", table.Name(), dk, dv)
	}
	return k, v
}

// table returns the entries of a table as bytes, checked.
func (s *App) table(name string) []store.Entry {
	s.t.Helper()
	if t := s.topology.Tables[name]; t == nil || t.Global() {
		s.t.Fatalf("sim: %q is no table with a changelog; of a global table, Read its topic", name)
	}
	s.Check()
	var all []store.Entry
	for _, p := range s.topic(topology.ChangelogTopic(s.topology.App, name)) {
		m, _ := p.fold(p.stable())
		for _, k := range slices.Sorted(maps.Keys(m)) {
			all = append(all, store.Entry{Key: []byte(k), Value: m[k]})
		}
	}
	return all
}

// Check fails the test when a disk, of a running worker or of one that
// crashed, holds anything but what the changelog held at the position that is
// stored beside it; and, once everything is settled, when an owner's disk is
// behind. Table and its like call it.
func (s *App) Check() {
	s.t.Helper()
	for _, w := range s.workers {
		for _, id := range w.disk.order {
			if err := s.checkSpace(w.disk.spaces[id]); err != nil {
				s.t.Fatalf("sim: the disk of worker %s: %v", w.name, err)
			}
		}
	}
	if err := s.checkOwners(); err != nil {
		s.t.Fatalf("sim: %v", err)
	}
}

// checkSpace compares a space with the changelog up to its position.
func (s *App) checkSpace(sp *space) error {
	if t := s.topology.Tables[sp.id.Table]; t != nil && t.Global() {
		return nil // follows its topic, in no order between partitions
	}
	p := s.changelog(sp.id)
	switch {
	case sp.pos.Changelog > p.end():
		if p.anew > 0 {
			return nil // of a log that is gone
		}
		return fmt.Errorf("%s is at offset %d, beyond the end %d of %s", sp.id, sp.pos.Changelog, p.end(), p.tp)
	case p.anew > 0 && !sp.open:
		return nil
	}
	// The position may be beyond the last stable offset: a commit is known
	// before its markers are written, and what a zombie left open in between
	// will be aborted. What is not committed is not in the fold.
	return diff(sp, p, sp.pos.Changelog)
}

func (s *App) changelog(id store.Space) *partition {
	return s.broker.topics[topology.ChangelogTopic(s.topology.App, id.Table)][id.Partition]
}

// diff compares a space with its changelog up to an offset.
func diff(sp *space, p *partition, to int64) error {
	want, moot := p.fold(to)
	for _, k := range slices.Sorted(maps.Keys(want)) {
		if got, ok := sp.data[k]; !moot[k] && (!ok || !bytes.Equal(got, want[k])) {
			return fmt.Errorf("%s: key %q is %q (present: %v) but %s says %q up to offset %d", sp.id, k, got, ok, p.tp, want[k], to)
		}
	}
	for _, k := range slices.Sorted(maps.Keys(sp.data)) {
		if _, ok := want[k]; !ok && !moot[k] {
			return fmt.Errorf("%s: key %q is %q but %s does not have it up to offset %d", sp.id, k, sp.data[k], p.tp, to)
		}
	}
	return nil
}

// checkOwners compares the disks of owners with the whole changelog, when
// nothing is on its way.
func (s *App) checkOwners() error {
	for _, id := range s.broker.group.tasks {
		p := s.broker.group.owner[id]
		if p == nil || !p.idle() || !s.caughtUp(p, id.Partition, s.topology.Sub(id.Sub).Sources) {
			continue
		}
		for _, name := range s.topology.Sub(id.Sub).Stores() {
			sid := store.Space{Table: name, Partition: id.Partition}
			sp, log := p.w.disk.spaces[sid], s.changelog(sid)
			if sp == nil || !sp.open {
				continue
			}
			if err := diff(sp, log, log.end()); err != nil {
				return fmt.Errorf("task %s at worker %s is idle, but its disk differs: %w", id, p.w.name, err)
			}
		}
	}
	return nil
}

// idle reports whether nothing is on its way to or from a process.
func (p *process) idle() bool {
	return p.responsive() && len(p.mailbox) == 0 && len(p.tasks) == 0 && len(p.commits) == 0
}

// caughtUp reports whether a task's inputs are committed to their ends.
func (s *App) caughtUp(p *process, partition int32, topics []string) bool {
	for _, topic := range topics {
		if s.lag(s.broker.topics[topic][partition].tp) > 0 {
			return false
		}
	}
	return true
}
