package check

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"sync"
)

// A Violation is a promise that a history breaks.
type Violation struct {
	// Invariant is its short name, such as S4.
	Invariant string `json:"invariant"`
	Detail    string `json:"detail"`
}

func (v Violation) String() string { return v.Invariant + ": " + v.Detail }

// A Subject is what the checkers must know beside the history.
type Subject struct {
	// Exactly says that the application ran exactly-once.
	Exactly bool
	// Model computes what committed input must lead to; nil leaves S1 and
	// S2 out.
	Model Model
	// Receipts names a topic to which the application copies each record of
	// each source, key and value, in order. With it S10 and S19 are checked.
	Receipts string
	// Dead is the topic of dead letters, where a record may be instead.
	Dead string
	// Once are topics on which no record may appear twice: what windows and
	// timers send.
	Once []string
	// Windows are tables whose windows are sent when they close. With them
	// S15 is checked.
	Windows []Windows
	// Sources restricts Receipts to records of these topics.
	Sources []string
	// Without names invariants that are not checked.
	Without []string
	// Within is how long catching up and stopping may take, in milliseconds;
	// zero means 120,000.
	Within int64
}

// An Invariant is one promise and how to check it.
type Invariant struct {
	Name, Says string
	// Exactly says that it holds only with exactly-once.
	Exactly bool
	Check   func(h *History, s Subject) []string
}

// Invariants lists what is checked.
func Invariants() []Invariant {
	return []Invariant{
		{"S1", "committed output and tables are those of the reference model over committed input", true, modelEqual},
		{"S2", "nothing is lost: what the model expects is there at least once", false, modelCovered},
		{"S3", "a committed offset never goes back and never passes the end of its log", false, offsetsAdvance},
		{"S4", "outputs, changelog and offsets of a round are committed together or not at all", true, allOrNothing},
		{"S5", "a reader of committed records sees nothing of an aborted round", true, abortedInvisible},
		{"S6", "a store holds what its changelog says up to its position", false, storeIsFold},
		{"S7", "the position of a store is never beyond what was committed", false, positionCommitted},
		{"S8", "a store holds nothing that was not committed, however its worker ended", false, nothingUncommitted},
		{"S9", "two workers never commit for one task at the same time", true, oneWriter},
		{"S10", "the order of each key is kept", true, keyOrder},
		{"S11", "no task commits before its tables are restored", false, restoredFirst},
		{"S12", "what was deleted stays deleted", false, deletedStays},
		{"S13", "a standby that has caught up holds what the active task holds", false, standbysAgree},
		{"S14", "stream time never goes back", true, timeAdvances},
		{"S15", "each window that stream time has passed is sent as it should, late records are counted", true, windowsClose},
		{"S16", "windows close once and timers fire once", true, once},
		{"S17", "damage of a store is found, and nothing of it served", false, damageFound},
		{"S19", "no record is skipped in silence", false, accounted},
		{"S21", "a global table holds what its topic holds, on each worker", false, globalsAgree},
		{"L1", "all input is handled soon after the last fault", false, caughtUp},
		{"L2", "the group is stable and each partition is owned once", false, groupStable},
		{"L3", "every restore ends", false, restoresEnd},
		{"L4", "no transaction stays open", false, stableIsEnd},
		{"L5", "a worker that is told to stop stops", false, stops},
	}
}

// All checks every invariant that applies.
func All(h *History, s Subject) []Violation {
	if s.Within == 0 {
		s.Within = 120_000
	}
	defer h.keep()()
	if model := s.Model; model != nil {
		want := sync.OnceValue(func() Expectation { return model(h.Inputs()) })
		s.Model = func([]Record) Expectation { return want() }
	}
	var vs []Violation
	for _, in := range Invariants() {
		if in.Exactly && !s.Exactly || slices.Contains(s.Without, in.Name) {
			continue
		}
		for i, d := range in.Check(h, s) {
			const enough = 5
			if i == enough {
				vs = append(vs, Violation{in.Name, "… and more"})
				break
			}
			vs = append(vs, Violation{in.Name, d})
		}
	}
	return vs
}

// One checks one invariant by name.
func One(name string, h *History, s Subject) []string {
	for _, in := range Invariants() {
		if in.Name == name {
			if s.Within == 0 {
				s.Within = 120_000
			}
			return in.Check(h, s)
		}
	}
	return []string{"there is no invariant " + name}
}

// A Model computes from all committed input, ordered by topic, partition and
// offset, what must come out.
type Model func(in []Record) Expectation

// An Expectation is what must come out. Keys and values are raw bytes.
type Expectation struct {
	// Ordered holds for each topic and key the values in order.
	Ordered map[string]map[string][]string
	// Unordered holds for each topic how often each key and value must
	// appear, in any order; see Pair.
	Unordered map[string]map[string]int
	// Tables holds the entries of tables, over all partitions.
	Tables map[string]map[string]string
	// Approximate names tables and topics whose content depends on more
	// than the input when records are handled twice; S2 leaves them out.
	Approximate map[string]bool
}

// Pair is a key of Expectation.Unordered.
func Pair(key, value []byte) string { return string(key) + "\x00" + string(value) }

// outcome is what did come out, in the same form.
func (h *History) outcome() Expectation { return h.look().outcome() }

func (h *History) comeOut() Expectation {
	out := Expectation{Ordered: make(map[string]map[string][]string), Unordered: make(map[string]map[string]int), Tables: make(map[string]map[string]string)}
	tables := make(map[string]string)
	for _, e := range h.of(TopicIs) {
		if e.Role == Changelog {
			tables[e.Topic] = e.Table
			out.Tables[e.Table] = make(map[string]string)
		}
		out.Ordered[e.Topic] = make(map[string][]string)
		out.Unordered[e.Topic] = make(map[string]int)
	}
	logs := h.logs()
	for _, tp := range tps(logs) {
		for _, r := range logs[tp] {
			k, v := string(r.Key), string(r.Value)
			if t, ok := tables[tp.Topic]; ok {
				if out.Tables[t][k] = v; r.Value == nil {
					delete(out.Tables[t], k)
				}
				continue
			}
			out.Ordered[tp.Topic][k] = append(out.Ordered[tp.Topic][k], v)
			out.Unordered[tp.Topic][Pair(r.Key, r.Value)]++
		}
	}
	return out
}

// modelEqual is S1.
func modelEqual(h *History, s Subject) (bad []string) {
	if s.Model == nil {
		return nil
	}
	want, got := s.Model(h.Inputs()), h.outcome()
	for _, topic := range sorted(want.Ordered) {
		w, g := want.Ordered[topic], got.Ordered[topic]
		for _, k := range union(w, g) {
			if !slices.Equal(w[k], g[k]) {
				bad = append(bad, fmt.Sprintf("topic %s, key %q: %s", topic, k, difference(w[k], g[k])))
			}
		}
	}
	for _, topic := range sorted(want.Unordered) {
		w, g := want.Unordered[topic], got.Unordered[topic]
		for _, k := range union(w, g) {
			if w[k] != g[k] {
				bad = append(bad, fmt.Sprintf("topic %s: %q is there %d times, want %d", topic, k, g[k], w[k]))
			}
		}
	}
	for _, t := range sorted(want.Tables) {
		w, g := want.Tables[t], got.Tables[t]
		for _, k := range union(w, g) {
			wv, wok := w[k]
			gv, gok := g[k]
			if wv != gv || wok != gok {
				bad = append(bad, fmt.Sprintf("table %s, key %q: %q (%t), want %q (%t)", t, k, gv, gok, wv, wok))
			}
		}
	}
	return bad
}

// modelCovered is S2.
func modelCovered(h *History, s Subject) (bad []string) {
	if s.Model == nil {
		return nil
	}
	want, got := s.Model(h.Inputs()), h.outcome()
	for _, topic := range sorted(want.Ordered) {
		if want.Approximate[topic] {
			continue
		}
		w, g := want.Ordered[topic], got.Ordered[topic]
		for _, k := range sorted(w) {
			need, have := count(w[k]), count(g[k])
			for _, v := range sorted(need) {
				if have[v] < need[v] {
					bad = append(bad, fmt.Sprintf("topic %s, key %q: value %q is there %d times, want at least %d", topic, k, v, have[v], need[v]))
				}
			}
		}
	}
	for _, topic := range sorted(want.Unordered) {
		if want.Approximate[topic] {
			continue
		}
		for _, k := range sorted(want.Unordered[topic]) {
			if g := got.Unordered[topic][k]; g < want.Unordered[topic][k] {
				bad = append(bad, fmt.Sprintf("topic %s: %q is there %d times, want at least %d", topic, k, g, want.Unordered[topic][k]))
			}
		}
	}
	for _, t := range sorted(want.Tables) {
		for _, k := range sorted(want.Tables[t]) {
			if _, ok := got.Tables[t][k]; !ok && !want.Approximate[t] {
				bad = append(bad, fmt.Sprintf("table %s has lost key %q", t, k))
			}
		}
	}
	return bad
}

// difference shows where two lists part.
func difference(want, got []string) string {
	i := 0
	for i < len(want) && i < len(got) && want[i] == got[i] {
		i++
	}
	at := func(vs []string) string {
		if i >= len(vs) {
			return "nothing"
		}
		return fmt.Sprintf("%q", vs[i])
	}
	missing, extra := surplus(want, got), surplus(got, want)
	return fmt.Sprintf("%d values, want %d; value %d is %s, want %s (missing: %s; too many: %s)", len(got), len(want), i, at(got), at(want), some(missing), some(extra))
}

// surplus returns what a has more of than b.
func surplus(a, b []string) (more []string) {
	have := count(b)
	for _, v := range a {
		if have[v]--; have[v] < 0 {
			more = append(more, v)
		}
	}
	return more
}

func some(vs []string) string {
	if len(vs) == 0 {
		return "none"
	}
	return fmt.Sprintf("%q", strings.Join(vs[:min(len(vs), 4)], " "))
}

func count(vs []string) map[string]int {
	m := make(map[string]int)
	for _, v := range vs {
		m[v]++
	}
	return m
}

func sorted[K cmp.Ordered, V any](m map[K]V) []K {
	ks := make([]K, 0, len(m))
	for k := range m {
		ks = append(ks, k)
	}
	slices.Sort(ks)
	return ks
}

// union returns the keys of both, in order.
func union[K cmp.Ordered, V any](a, b map[K]V) []K {
	ks := append(sorted(a), sorted(b)...)
	slices.Sort(ks)
	return slices.Compact(ks)
}
