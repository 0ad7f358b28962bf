package check

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// ordered returns the rounds in order of their numbers.
func ordered(m map[int64]*round) []*round {
	rs := make([]*round, 0, len(m))
	for _, id := range sorted(m) {
		rs = append(rs, m[id])
	}
	return rs
}

// happened reports whether the round was committed: it says so, or it shows.
func (r *round) happened() bool { return r.outcome == "committed" || r.visible > 0 }

// starts returns the log start of each partition.
func (h *History) starts() map[TP]int64 {
	m := make(map[TP]int64)
	for _, e := range h.of(LogIs) {
		m[TP{Topic: e.Topic, Partition: e.Partition}] = e.Start
	}
	return m
}

// countable returns a function that says whether all records of a partition
// are still in its log: nothing was deleted from its begin or compacted.
func (h *History) countable() func(TP) bool {
	starts, roles := h.starts(), h.roles()
	compacted := len(h.of(Compacted)) > 0
	return func(tp TP) bool {
		return starts[tp] == 0 && !(compacted && roles[tp.Topic] == Changelog)
	}
}

// allOrNothing is S4.
func allOrNothing(h *History, _ Subject) (bad []string) {
	countable := h.countable()
	visible := make(map[int64]map[TP]int)
	for _, e := range h.of(Log) {
		if m := visible[e.Record.Round]; m == nil {
			visible[e.Record.Round] = make(map[TP]int)
		}
		visible[e.Record.Round][e.Record.TP]++
	}
	final := h.finalOffsets()
	for _, r := range ordered(h.rounds()) {
		need := make(map[TP]int)
		for _, rec := range r.sent.Records {
			if countable(rec.TP) {
				need[rec.TP]++
			}
		}
		all, any := true, false
		for tp, n := range need {
			got := visible[r.sent.Round][tp]
			all, any = all && got == n, any || got > 0
			if got > n {
				bad = append(bad, fmt.Sprintf("round %d of %s: %d records on %s, but it sent %d", r.sent.Round, r.sent.Worker, got, tp, n))
			}
		}
		switch {
		case any && !all, r.outcome == "committed" && !all:
			bad = append(bad, fmt.Sprintf("round %d of %s (%s): only a part of it can be seen: %v of %v", r.sent.Round, r.sent.Worker, cmp.Or(r.outcome, "undecided"), visible[r.sent.Round], need))
		case r.happened():
			for _, o := range r.sent.Offsets {
				if at, ok := final[o.TP]; !ok || at < o.At {
					bad = append(bad, fmt.Sprintf("round %d of %s can be seen, but its offset %d of %s was not committed (it is %d)", r.sent.Round, r.sent.Worker, o.At, o.TP, at))
				}
			}
		}
	}
	return bad
}

// finalOffsets returns the offsets committed at the end, or nil when the
// history does not say.
func (h *History) finalOffsets() map[TP]int64 {
	m := make(map[TP]int64)
	for _, e := range h.of(OffsetIs) {
		m[TP{Topic: e.Topic, Partition: e.Partition}] = e.End
	}
	return m
}

// abortedInvisible is S5.
func abortedInvisible(h *History, _ Subject) (bad []string) {
	rounds, roles := h.rounds(), h.roles()
	for _, r := range ordered(rounds) {
		if (r.outcome == "aborted" || r.outcome == "fenced") && r.visible > 0 {
			bad = append(bad, fmt.Sprintf("round %d of %s was %s, but %d of its records can be seen", r.sent.Round, r.sent.Worker, r.outcome, r.visible))
		}
	}
	for _, e := range h.of(Log) {
		if roles[e.Record.Topic] != Source && rounds[e.Record.Round] == nil {
			bad = append(bad, fmt.Sprintf("a record at %s offset %d comes from no round", e.Record.TP, e.Record.Offset))
		}
	}
	return bad
}

// A claim is a committed offset of one partition with who committed it.
type claim struct {
	at    int64
	time  int64 // stream time, or -1
	round *round
}

// claims returns, for each input partition, what committed rounds claimed, in
// the order of the offsets: the order in which the broker took them.
func (h *History) claims() map[TP][]claim {
	m := make(map[TP][]claim)
	for _, r := range ordered(h.rounds()) {
		if !r.happened() {
			continue
		}
		for _, o := range r.sent.Offsets {
			m[o.TP] = append(m[o.TP], claim{o.At, streamTime(o.Metadata), r})
		}
	}
	for _, cs := range m {
		slices.SortStableFunc(cs, func(a, b claim) int { return cmp.Compare(a.at, b.at) })
	}
	return m
}

func streamTime(metadata string) int64 {
	if s, ok := strings.CutPrefix(metadata, "weir1:"); ok {
		if t, err := strconv.ParseInt(s, 10, 64); err == nil {
			return t
		}
	}
	return -1
}

// offsetsAdvance is S3: one life of a worker never commits an offset below
// one that it committed before, and no offset is beyond its log.
func offsetsAdvance(h *History, _ Subject) (bad []string) {
	ends := make(map[TP]int64)
	for _, e := range h.of(LogIs) {
		ends[TP{Topic: e.Topic, Partition: e.Partition}] = e.End
	}
	rounds := ordered(h.rounds())
	lastOf := make(map[string]map[TP]int64)
	for _, r := range rounds {
		w := r.sent.Worker
		if lastOf[w] == nil {
			lastOf[w] = make(map[TP]int64)
		}
		for _, o := range r.sent.Offsets {
			if end, ok := ends[o.TP]; ok && o.At > end {
				bad = append(bad, fmt.Sprintf("round %d of %s commits offset %d of %s, whose log ends at %d", r.sent.Round, w, o.At, o.TP, end))
			}
			if r.outcome != "committed" {
				continue
			}
			if o.At < lastOf[w][o.TP] {
				bad = append(bad, fmt.Sprintf("round %d of %s commits offset %d of %s after %d", r.sent.Round, w, o.At, o.TP, lastOf[w][o.TP]))
			}
			lastOf[w][o.TP] = o.At
		}
	}
	for _, e := range h.of(OffsetIs) {
		tp := TP{Topic: e.Topic, Partition: e.Partition}
		if end, ok := ends[tp]; ok && e.End > end {
			bad = append(bad, fmt.Sprintf("the committed offset %d of %s is beyond its end %d", e.End, tp, end))
		}
	}
	return bad
}

// oneWriter is S9: in the order of offsets, the rounds of each worker for a
// partition follow each other without one of another worker in between,
// unless the partition was assigned to it anew.
func oneWriter(h *History, _ Subject) (bad []string) {
	assigned := make(map[TP]map[string][]int64)
	for _, e := range h.of(Assigned) {
		for _, tp := range e.Parts {
			if assigned[tp] == nil {
				assigned[tp] = make(map[string][]int64)
			}
			assigned[tp][e.Worker] = append(assigned[tp][e.Worker], e.N)
		}
	}
	claims := h.claims()
	for _, tp := range tps(claims) {
		last := make(map[string]*round)
		previous := ""
		for _, c := range claims[tp] {
			w := c.round.sent.Worker
			if mine := last[w]; mine != nil && previous != w {
				again := slices.ContainsFunc(assigned[tp][w], func(n int64) bool { return n > mine.sent.N && n < c.round.sent.N })
				if !again {
					bad = append(bad, fmt.Sprintf("%s: %s committed offset %d in round %d, after %s had taken over, and without getting it back", tp, w, c.at, c.round.sent.Round, previous))
				}
			}
			last[w], previous = c.round, w
		}
	}
	return bad
}

// timeAdvances is S14.
func timeAdvances(h *History, _ Subject) (bad []string) {
	claims := h.claims()
	for _, tp := range tps(claims) {
		high := claim{time: -1}
		for _, c := range claims[tp] {
			if c.time < high.time && c.at > high.at {
				bad = append(bad, fmt.Sprintf("%s: stream time went back from %d (offset %d) to %d (offset %d, round %d)", tp, high.time, high.at, c.time, c.at, c.round.sent.Round))
			}
			if c.time >= high.time {
				high = c
			}
		}
	}
	return bad
}
