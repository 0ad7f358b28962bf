package topology

import (
	"slices"
	"strings"
)

// Sub returns the sub-topology of that name, or nil.
func (t *Topology) Sub(name string) *Sub {
	for _, s := range t.Subs {
		if s.Name == name {
			return s
		}
	}
	return nil
}

// SubOf returns the sub-topology that reads a topic, or nil.
func (t *Topology) SubOf(source string) *Sub {
	for _, s := range t.Subs {
		if slices.Contains(s.Sources, source) {
			return s
		}
	}
	return nil
}

// Owner returns the sub-topology that owns a table or timer, or nil; nobody
// owns global tables.
func (t *Topology) Owner(store string) *Sub {
	for _, s := range t.Subs {
		if slices.Contains(s.Stores(), store) {
			return s
		}
	}
	return nil
}

// Sources returns the topics that any sub-topology reads, ordered: what the
// consumer group subscribes to.
func (t *Topology) Sources() []string {
	var names []string
	for _, s := range t.Subs {
		names = append(names, s.Sources...)
	}
	return sorted(names)
}

// External returns the user's topics that the application reads, sends to, or
// has a global table of, ordered.
func (t *Topology) External() []string {
	names := t.Sources()
	for _, s := range t.Subs {
		names = append(names, s.Sends...)
	}
	for _, g := range t.Globals {
		names = append(names, g.Source)
	}
	names = slices.DeleteFunc(names, func(n string) bool { return t.Topics[n].Kind != External })
	return sorted(names)
}

// Table returns a table that the sub-topology owns, by name, or nil.
func (s *Sub) Table(name string) *Table {
	i, ok := slices.BinarySearchFunc(s.Tables, name, func(t *Table, n string) int { return strings.Compare(t.Name, n) })
	if !ok {
		return nil
	}
	return s.Tables[i]
}

// Timer returns a timer that the sub-topology owns, by name, or nil.
func (s *Sub) Timer(name string) *Timer {
	i, ok := slices.BinarySearchFunc(s.Timers, name, func(t *Timer, n string) int { return strings.Compare(t.Name, n) })
	if !ok {
		return nil
	}
	return s.Timers[i]
}
