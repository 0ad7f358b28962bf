package check

import (
	"bytes"
	"fmt"
	"reflect"
	"strconv"
	"testing"
)

var (
	in0   = TP{Topic: "in", Partition: 0}
	in1   = TP{Topic: "in", Partition: 1}
	out0  = TP{Topic: "out", Partition: 0}
	log0  = TP{Topic: "changes", Partition: 0}
	late0 = TP{Topic: "late", Partition: 0}
)

// A build makes a history by hand.
type build struct {
	h   History
	at  map[TP]int64
	end map[TP]int64
}

func begin() *build {
	b := &build{at: make(map[TP]int64), end: make(map[TP]int64)}
	for _, t := range []struct{ name, role, table string }{{"in", Source, ""}, {"out", Output, ""}, {"changes", Changelog, "t"}} {
		b.add(Event{Kind: TopicIs, Topic: t.name, Role: t.role, Table: t.table})
	}
	return b
}

func (b *build) add(e Event) *build {
	b.h.Add(e)
	return b
}

// log adds a committed record; a value of "" is a tombstone.
func (b *build) log(tp TP, round int64, key, value string) *build {
	r := Record{TP: tp, Offset: b.at[tp], Key: []byte(key), Value: []byte(value), Round: round}
	if value == "" {
		r.Value = nil
	}
	b.at[tp]++
	return b.add(Event{Kind: Log, Record: &r})
}

// timed adds a committed record with a time.
func (b *build) timed(tp TP, time int64, key, value string) *build {
	b.log(tp, 0, key, value)
	b.h.Events[len(b.h.Events)-1].Record.Time = time
	return b
}

// send adds a round that sends records to out0, and returns its number.
func (b *build) send(worker string, offset, time int64, records ...Record) int64 {
	return b.h.Add(Event{Kind: Sent, Worker: worker, Records: records, Offsets: []Offset{{TP: in0, At: offset, Metadata: fmt.Sprintf("weir1:%d", time)}}})
}

func (b *build) decide(round int64, outcome string) *build {
	return b.add(Event{Kind: Decided, Round: round, Outcome: outcome})
}

// round is a round that was committed, with its records in the log.
func (b *build) round(worker string, offset, time int64, records ...Record) *build {
	id := b.send(worker, offset, time, records...)
	b.decide(id, "committed")
	for _, r := range records {
		b.log(r.TP, id, string(r.Key), string(r.Value))
	}
	return b
}

func (b *build) final(tp TP, offset int64) *build {
	return b.add(Event{Kind: OffsetIs, Topic: tp.Topic, Partition: tp.Partition, End: offset})
}

func (b *build) logIs(tp TP, stable, end int64) *build {
	return b.add(Event{Kind: LogIs, Topic: tp.Topic, Partition: tp.Partition, Stable: stable, End: end})
}

// global adds what worker w holds of a global table of topic out.
func (b *build) global(next int64, entries ...string) *build {
	e := Event{Kind: HeldGlobal, Worker: "w", Table: "g", Topic: out0.Topic, Offsets: []Offset{{TP: out0, At: next}}}
	for i := 0; i < len(entries); i += 2 {
		e.Entries = append(e.Entries, Entry{[]byte(entries[i]), []byte(entries[i+1])})
	}
	return b.add(e)
}

func (b *build) store(k Kind, worker string, position int64, entries ...string) *build {
	e := Event{Kind: k, Worker: worker, Table: "t", Position: &Position{Changelog: position}}
	for i := 0; i < len(entries); i += 2 {
		e.Entries = append(e.Entries, Entry{[]byte(entries[i]), []byte(entries[i+1])})
	}
	return b.add(e)
}

func (b *build) restore(worker string, at, to int64, done bool) *build {
	return b.add(Event{Kind: Restoring, Worker: worker, Table: "t", Reached: at, To: to, Done: done})
}

func (b *build) follow(worker string, at, to int64) *build {
	return b.add(Event{Kind: Following, Worker: worker, Table: "t", Reached: at, To: to, Done: at >= to})
}

func (b *build) worker(k Kind, worker string, parts ...TP) *build {
	return b.add(Event{Kind: k, Worker: worker, Parts: parts})
}

func (b *build) group(state string, members map[string][]TP) *build {
	return b.add(Event{Kind: GroupIs, Note: state, Members: members})
}

func rec(tp TP, key, value string) Record {
	return Record{TP: tp, Key: []byte(key), Value: []byte(value)}
}

// copies is a model that wants all inputs on out, and a count in table t.
func copies(in []Record) Expectation {
	e := Expectation{Ordered: map[string]map[string][]string{"out": {}}, Tables: map[string]map[string]string{"t": {}}}
	n := make(map[string]int)
	for _, r := range in {
		k := string(r.Key)
		n[k]++
		e.Ordered["out"][k] = append(e.Ordered["out"][k], string(r.Value))
		e.Tables["t"][k] = fmt.Sprint(n[k])
	}
	return e
}

var subject = Subject{Exactly: true, Model: copies, Receipts: "out", Once: []string{"out"}, Windows: []Windows{{
	Source: "in", Closed: "out", Late: "late", Size: 10, Grace: 2,
	Skip: func(r Record) bool { return string(r.Value) == "poison" },
	Start: func(r Record) (int64, bool) {
		at, err := strconv.ParseInt(string(r.Value), 10, 64)
		return at, err == nil
	},
}}}

// two inputs, copied, counted.
func two() *build { return begin().log(in0, 0, "a", "1").log(in0, 0, "a", "2") }

// again is two, sent a second time.
func again() *build { return two().log(in0, 0, "a", "1").log(in0, 0, "a", "2") }

type cases map[string]struct{ good, bad []*build }

func histories() cases {
	return cases{
		"S1": {
			good: []*build{begin(), two().log(out0, 1, "a", "1").log(out0, 1, "a", "2").log(log0, 1, "a", "1").log(log0, 1, "a", "2")},
			bad: []*build{
				two().log(out0, 1, "a", "1").log(log0, 1, "a", "2"),                                                     // lost
				two().log(out0, 1, "a", "2").log(out0, 1, "a", "1").log(log0, 1, "a", "2"),                              // out of order
				two().log(out0, 1, "a", "1").log(out0, 1, "a", "2").log(log0, 1, "a", "3"),                              // counted twice
				two().log(out0, 1, "a", "1").log(out0, 1, "a", "2").log(out0, 1, "a", "2").log(log0, 1, "a", "2"),       // sent twice
				two().log(out0, 1, "a", "1").log(out0, 1, "a", "2").log(log0, 1, "a", "2").log(log0, 1, "b", "phantom"), // from nowhere
			},
		},
		"S2": {
			good: []*build{
				two().log(out0, 1, "a", "1").log(out0, 1, "a", "2").log(log0, 1, "a", "2"),
				two().log(out0, 1, "a", "1").log(out0, 1, "a", "1").log(out0, 1, "a", "2").log(log0, 1, "a", "3"), // twice is fine
			},
			bad: []*build{
				two().log(out0, 1, "a", "2").log(log0, 1, "a", "2"),
				two().log(out0, 1, "a", "1").log(out0, 1, "a", "2").log(log0, 1, "a", "2").log(log0, 1, "a", ""), // the row is lost
			},
		},
		"S3": {
			good: []*build{
				begin().round("w", 1, 0).round("w", 2, 0).logIs(in0, 2, 2).final(in0, 2),
				begin().round("w", 5, 0).round("v", 3, 0).logIs(in0, 9, 9), // another worker may start over
			},
			bad: []*build{
				begin().round("w", 2, 0).round("w", 1, 0),
				begin().round("w", 3, 0).logIs(in0, 2, 2),
				begin().logIs(in0, 2, 2).final(in0, 3),
			},
		},
		"S4": {
			good: []*build{
				begin().round("w", 1, 0, rec(out0, "a", "1"), rec(log0, "a", "1")).final(in0, 1),
				begin().undecided(rec(out0, "a", "1"), rec(log0, "a", "1")).final(in0, 0),
			},
			bad: []*build{
				begin().partly("committed", "a", rec(out0, "a", "1"), rec(log0, "a", "1")).final(in0, 1),
				begin().partly("unknown", "a", rec(out0, "a", "1"), rec(log0, "a", "1")).final(in0, 1),
				begin().round("w", 7, 0, rec(out0, "a", "1")).final(in0, 6), // output without its offset
			},
		},
		"S5": {
			good: []*build{
				begin().round("w", 1, 0, rec(out0, "a", "1")),
				begin().aborted(),
			},
			bad: []*build{
				begin().partly("aborted", "a", rec(out0, "a", "1")),
				begin().partly("fenced", "a", rec(out0, "a", "1")),
				begin().log(out0, 77, "a", "from no round"),
			},
		},
		"S6": {
			good: []*build{
				begin().log(log0, 1, "a", "1").log(log0, 1, "a", "2").store(Opened, "w", 1, "a", "1").store(Held, "w", 2, "a", "2"),
				begin().log(log0, 1, "a", "1").log(log0, 1, "a", "").store(Opened, "w", 2),
			},
			bad: []*build{
				begin().log(log0, 1, "a", "1").store(Opened, "w", 1),                                          // lacks it
				begin().log(log0, 1, "a", "1").store(Opened, "w", 1, "a", "2"),                                // has another value
				begin().log(log0, 1, "a", "1").log(log0, 1, "b", "1").store(Held, "w", 1, "a", "1", "b", "1"), // is ahead
			},
		},
		"S7": {
			good: []*build{
				begin().store(Opened, "w", 4).logIs(log0, 4, 6),
				begin().store(Opened, "w", 0).logIs(log0, 0, 0),
			},
			bad: []*build{
				begin().store(Opened, "w", 5).logIs(log0, 4, 6),
				begin().store(Held, "w", 1).logIs(log0, 0, 0),
			},
		},
		"S8": {
			good: []*build{
				begin().round("w", 1, 0, rec(log0, "a", "1")).worker(Crashed, "w").store(Opened, "v", 1, "a", "1"),
				// Compaction has removed it, but it was committed.
				begin().gone("committed", rec(log0, "a", "1")).add(Event{Kind: Compacted}).store(Opened, "v", 1, "a", "1"),
				begin().gone("unknown", rec(log0, "a", "1")).add(Event{Kind: Compacted}).store(Opened, "v", 1, "a", "1"),
			},
			bad: []*build{
				begin().gone("aborted", rec(log0, "a", "1")).worker(Crashed, "w").store(Opened, "v", 1, "a", "1"),
				begin().undecided(rec(log0, "a", "1")).worker(Crashed, "w").store(Held, "w", 1, "a", "1"),
				begin().gone("aborted", rec(log0, "a", "1")).add(Event{Kind: Compacted}).store(Opened, "v", 1, "a", "1"),
			},
		},
		"S9": {
			good: []*build{
				begin().worker(Assigned, "w", in0).round("w", 1, 0).round("w", 2, 0).worker(Assigned, "v", in0).round("v", 3, 0),
				begin().worker(Assigned, "w", in0).round("w", 1, 0).worker(Assigned, "v", in0).round("v", 2, 0).worker(Assigned, "w", in0).round("w", 3, 0),
			},
			bad: []*build{
				begin().worker(Assigned, "w", in0).round("w", 1, 0).worker(Assigned, "v", in0).round("v", 2, 0).round("w", 3, 0),
				begin().worker(Assigned, "w", in0).worker(Assigned, "v", in0).round("w", 1, 0).round("v", 2, 0).round("w", 3, 0).round("v", 4, 0),
			},
		},
		"S10": {
			good: []*build{
				two().log(out0, 1, "a", "1").log(out0, 1, "a", "2"),
				two().log(in1, 0, "b", "0").log(out0, 1, "b", "0").log(out0, 1, "a", "1").log(out0, 1, "a", "1"),
				again().log(out0, 1, "a", "1").log(out0, 1, "a", "2").log(out0, 1, "a", "1").log(out0, 1, "a", "2"),
			},
			bad: []*build{
				two().log(out0, 1, "a", "2").log(out0, 1, "a", "1"),
				again().log(out0, 1, "a", "1").log(out0, 1, "a", "2").log(out0, 1, "a", "1").log(out0, 1, "a", "2").log(out0, 1, "a", "1"),
				two().log(out0, 1, "a", "3"),
			},
		},
		"S11": {
			good: []*build{
				begin().restore("w", 0, 5, false).restore("w", 5, 5, true).round("w", 1, 0, rec(log0, "a", "1")),
				begin().restore("w", 0, 5, false).round("v", 1, 0, rec(log0, "a", "1")),
			},
			bad: []*build{
				begin().restore("w", 0, 5, false).round("w", 1, 0, rec(log0, "a", "1")),
				begin().restore("w", 0, 5, false).restore("w", 4, 5, false).round("w", 1, 0, rec(log0, "a", "1")),
			},
		},
		"S12": {
			good: []*build{
				begin().log(log0, 1, "a", "1").log(log0, 1, "a", "").store(Held, "w", 2),
				begin().log(log0, 1, "a", "").log(log0, 1, "a", "1").store(Held, "w", 2, "a", "1"),
			},
			bad: []*build{
				begin().log(log0, 1, "a", "1").log(log0, 1, "a", "").store(Held, "w", 2, "a", "1"),
				begin().log(log0, 1, "a", "").store(Opened, "w", 1, "a", "1"),
			},
		},
		"S13": {
			good: []*build{
				begin().log(log0, 1, "a", "1").log(log0, 1, "a", "2").follow("v", 2, 2).store(Held, "w", 2, "a", "2").store(Held, "v", 2, "a", "2"),
				begin().log(log0, 1, "a", "1").log(log0, 1, "a", "2").store(Held, "w", 2, "a", "2").store(Held, "v", 1, "a", "1"), // older, no standby
			},
			bad: []*build{
				begin().log(log0, 1, "a", "1").store(Held, "w", 1, "a", "1").store(Held, "v", 1, "a", "1", "b", "1"),
				begin().log(log0, 1, "a", "1").store(Held, "w", 1, "a", "1").store(Held, "v", 1, "a", "2"),
				begin().log(log0, 1, "a", "1").store(Held, "w", 1, "a", "1").store(Held, "v", 1),
				begin().log(log0, 1, "a", "1").log(log0, 1, "a", "2").follow("v", 1, 2),
				begin().log(log0, 1, "a", "1").log(log0, 1, "a", "2").follow("v", 2, 2).store(Held, "v", 1, "a", "1"),
			},
		},
		"S21": {
			good: []*build{
				begin().log(out0, 1, "a", "1").log(out0, 1, "b", "1").log(out0, 1, "b", "").log(out0, 1, "a", "2").global(4, "a", "2"),
				begin().global(0),
				begin().log(out0, 1, "a", "1").add(Event{Kind: LogIs, Topic: out0.Topic, Start: 1, End: 2}).global(2, "a", "1", "gone", "1"), // by retention
			},
			bad: []*build{
				begin().log(out0, 1, "a", "1").log(out0, 1, "a", "2").global(1, "a", "1"), // has not read on
				begin().log(out0, 1, "a", "1").log(out0, 1, "a", "2").global(2, "a", "1"), // missed a record
				begin().log(out0, 1, "a", "1").global(1),                                  // lost a row
				begin().log(out0, 1, "a", "1").log(out0, 1, "a", "").global(2, "a", "1"),  // missed a deletion
				begin().log(out0, 1, "a", "1").global(1, "a", "1", "b", "1"),              // from nowhere
			},
		},
		"S14": {
			good: []*build{
				begin().round("w", 1, 10).round("v", 2, 10).round("w", 3, 20),
				begin().round("w", 2, 20).round("v", 1, 10), // in the order of offsets
			},
			bad: []*build{
				begin().round("w", 1, 20).round("w", 2, 10),
				begin().round("w", 1, 20).round("v", 2, -1),
			},
		},
		"S15": {
			good: []*build{
				begin().timed(in0, 1, "a", "x").timed(in0, 12, "a", "y").log(out0, 1, "a", "0").final(in0, 2),
				begin().timed(in0, 1, "a", "x").timed(in0, 30, "a", "poison").timed(in0, 2, "a", "z").log(out0, 1, "a", "0").log(late0, 1, "a", "z").final(in0, 3),
				begin().timed(in0, 1, "a", "x").timed(in0, 11, "a", "y").final(in0, 2),                          // inside grace
				begin().timed(in0, 1, "a", "x").timed(in0, 30, "b", "y").final(in0, 1),                          // not committed
				begin().timed(in0, 1, "a", "x").timed(in1, 30, "b", "y").final(in0, 1).final(in1, 1),            // another partition's time
				begin().timed(in0, 30, "a", "x").timed(in0, 19, "a", "y").log(late0, 1, "a", "y").final(in0, 2), // late at once: no window
			},
			bad: []*build{
				begin().timed(in0, 1, "a", "x").timed(in0, 12, "a", "y").final(in0, 2),                                                      // not sent
				begin().timed(in0, 1, "a", "x").timed(in0, 12, "a", "y").log(out0, 1, "a", "0").log(out0, 2, "a", "0").final(in0, 2),        // sent twice
				begin().timed(in0, 1, "a", "x").timed(in0, 11, "a", "y").log(out0, 1, "a", "0").final(in0, 2),                               // sent inside grace
				begin().timed(in0, 30, "a", "x").timed(in0, 2, "a", "z").final(in0, 2),                                                      // late and lost
				begin().timed(in0, 1, "a", "x").timed(in0, 2, "a", "z").log(late0, 1, "a", "z").final(in0, 2),                               // not late
				begin().timed(in0, 1, "a", "x").timed(in0, 12, "a", "y").log(out0, 1, "a", "0").log(out0, 1, "a", "nonsense").final(in0, 2), // no window
			},
		},
		"S16": {
			good: []*build{
				begin().log(out0, 1, "a", "1").log(out0, 1, "b", "1"),
				begin().log(in0, 0, "a", "1").log(in0, 0, "a", "1"),
			},
			bad: []*build{
				begin().log(out0, 1, "a", "1").log(out0, 2, "a", "1"),
				begin().log(out0, 1, "a", "1").log(TP{Topic: "out", Partition: 1}, 2, "a", "1"),
			},
		},
		"S17": {
			good: []*build{
				begin().log(log0, 1, "a", "1").store(Opened, "w", 1, "a", "1"),
				begin().add(Event{Kind: Opened, Worker: "w", Table: "t", Corrupt: true}),
				begin().undecided(rec(log0, "a", "1")).store(Held, "w", 1, "a", "1"), // for S8 to judge
			},
			bad: []*build{
				begin().log(log0, 1, "a", "1").store(Opened, "w", 1, "a", "3"),
				begin().log(log0, 1, "a", "1").store(Held, "w", 1, "c", "1"),
			},
		},
		"S19": {
			good: []*build{
				two().log(out0, 1, "a", "1").log(out0, 1, "a", "2").final(in0, 2),
				two().log(out0, 1, "a", "1").final(in0, 1), // the second is not committed
			},
			bad: []*build{
				two().log(out0, 1, "a", "1").final(in0, 2),
				two().final(in0, 1),
			},
		},
		"L1": {
			good: []*build{begin().add(Event{Kind: Healed}).add(Event{Kind: Caught, Took: 5}), begin()},
			bad:  []*build{begin().add(Event{Kind: Healed}), begin().add(Event{Kind: Healed}).add(Event{Kind: Caught, Took: 1e9})},
		},
		"L2": {
			good: []*build{
				begin().group("Stable", map[string][]TP{"w": {in0}, "v": {in1}}).logIs(in0, 0, 0).logIs(in1, 0, 0),
				begin().group("Stable", map[string][]TP{"w": {in0, in1}}).logIs(in0, 0, 0).logIs(in1, 0, 0),
			},
			bad: []*build{
				begin().group("PreparingRebalance", map[string][]TP{"w": {in0}}).logIs(in0, 0, 0),
				begin().group("Stable", map[string][]TP{"w": {in0}, "v": {in0}}).logIs(in0, 0, 0),
				begin().group("Stable", map[string][]TP{"w": {in0}}).logIs(in0, 0, 0).logIs(in1, 0, 0),
			},
		},
		"L3": {
			good: []*build{
				begin().restore("w", 0, 5, false).restore("w", 5, 5, true),
				begin().restore("w", 0, 5, false).worker(Crashed, "w"),
				begin().restore("w", 0, 5, false).worker(Lost, "w", in0),
				begin().session("w", 2).restore("w", 0, 5, false).session("w", 1),
			},
			bad: []*build{
				begin().restore("w", 0, 5, false),
				begin().session("w", 1).restore("w", 0, 5, false).session("w", 2),
				begin().session("w", 1).restore("w", 0, 5, false).session("v", 1),
				begin().restore("w", 3, 5, false).group("Stable", nil).worker(Stopped, "w"),
			},
		},
		"L4": {
			good: []*build{begin().logIs(in0, 4, 4), begin().logIs(out0, 0, 0)},
			bad:  []*build{begin().logIs(in0, 3, 4), begin().logIs(in0, 4, 4).logIs(out0, 0, 2)},
		},
		"L5": {
			good: []*build{begin().worker(Started, "w").worker(Stopped, "w"), begin().worker(Started, "w").worker(Crashed, "w")},
			bad:  []*build{begin().worker(Started, "w"), begin().worker(Started, "w").add(Event{Kind: Stopped, Worker: "w", Took: 1e9})},
		},
	}
}

// session is an assignment of nothing new in a session of a worker.
func (b *build) session(w string, n int64) *build {
	return b.add(Event{Kind: Assigned, Worker: w, Session: n})
}

// gone is a round with an outcome, of which nothing is in the log.
func (b *build) gone(outcome string, records ...Record) *build {
	return b.decide(b.send("w", 1, 0, records...), outcome)
}

// undecided is a round that nobody heard of again, none of which shows.
func (b *build) undecided(records ...Record) *build {
	b.send("w", 1, 0, records...)
	return b
}

// aborted is a round that was, and left nothing.
func (b *build) aborted() *build { return b.decide(b.send("w", 1, 0, rec(out0, "a", "1")), "aborted") }

// partly is a round of which only the first record shows.
func (b *build) partly(outcome, key string, records ...Record) *build {
	id := b.send("w", 1, 0, records...)
	b.decide(id, outcome)
	return b.log(records[0].TP, id, key, string(records[0].Value))
}

func TestInvariants(t *testing.T) {
	t.Parallel()
	all := histories()
	for _, in := range Invariants() {
		t.Run(in.Name, func(t *testing.T) {
			t.Parallel()
			c := all[in.Name]
			if len(c.good) < 2 || len(c.bad) < 2 {
				t.Fatalf("%d good and %d bad histories; at least two of each are needed", len(c.good), len(c.bad))
			}
			for i, b := range c.good {
				if vs := One(in.Name, &b.h, subject); len(vs) > 0 {
					t.Errorf("good history %d was rejected: %v", i, vs)
				}
			}
			for i, b := range c.bad {
				if vs := One(in.Name, &b.h, subject); len(vs) == 0 {
					t.Errorf("bad history %d was accepted", i)
				}
			}
		})
	}
}

func TestExactlyOnceOnly(t *testing.T) {
	t.Parallel()
	b := two().log(out0, 0, "a", "1").log(out0, 0, "a", "1").log(out0, 0, "a", "2").log(log0, 0, "a", "3").final(in0, 2)
	s := subject
	if vs := All(&b.h, s); len(vs) == 0 {
		t.Error("a duplicate was accepted under exactly-once")
	}
	s.Exactly = false
	if vs := All(&b.h, s); len(vs) > 0 {
		t.Errorf("a duplicate was rejected under at-least-once: %v", vs)
	}
}

// TestLateWritesOfAZombie: at-least-once has nothing that keeps a worker which
// lost its task from writing after the new owner.
func TestLateWritesOfAZombie(t *testing.T) {
	t.Parallel()
	b := begin().round("new", 1, 0, rec(log0, "a", "2"))
	late := b.send("zombie", 1, 0, rec(log0, "a", "1"))
	b.decide(late, "unknown").log(log0, late, "a", "1").round("new", 2, 0, rec(log0, "b", "1")).store(Held, "new", 3, "a", "2", "b", "1")
	s := subject
	if vs := One("S6", &b.h, s); len(vs) == 0 {
		t.Error("exactly-once: a store that differs from its changelog was accepted")
	}
	s.Exactly = false
	if vs := One("S6", &b.h, s); len(vs) > 0 {
		t.Errorf("at-least-once: a late write of another worker was held against the store: %v", vs)
	}
}

// TestExpiredDeletions: a store that was away may hold what was deleted
// meanwhile, and neither the key nor its deletion are in the log any more. One
// that has read all of the log may not.
func TestExpiredDeletions(t *testing.T) {
	t.Parallel()
	away := func(position int64) *build {
		b := begin().round("w", 1, 0, rec(log0, "b", "1"))
		b.decide(b.send("w", 2, 0, Record{TP: log0, Key: []byte("a")}), "committed")
		return b.add(Event{Kind: Compacted}).store(Opened, "w", position, "b", "1", "a", "old").logIs(log0, 3, 3)
	}
	if vs := One("S6", &away(2).h, subject); len(vs) > 0 {
		t.Errorf("a store that is behind was rejected: %v", vs)
	}
	if vs := One("S6", &away(3).h, subject); len(vs) == 0 {
		t.Error("a store that has read all was accepted")
	}
}

func TestHistoriesSurviveWriting(t *testing.T) {
	t.Parallel()
	b := two().log(log0, 3, "a", "").round("w", 1, 5, rec(out0, "a", "1")).store(Held, "w", 1, "a", "1").group("Stable", map[string][]TP{"w": {in0}})
	var buf bytes.Buffer
	if err := b.h.Write(&buf); err != nil {
		t.Fatal(err)
	}
	back, err := Read(&buf)
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(back.Events, b.h.Events) {
		t.Errorf("read back:\n%+v\nwant\n%+v", back.Events, b.h.Events)
	}
	if _, err := Read(bytes.NewBufferString("{\"n\":1}\nnonsense")); err == nil {
		t.Error("nonsense was read")
	}
}

// TestState: what a history says of the workers so far.
func TestState(t *testing.T) {
	t.Parallel()
	b := begin().worker(Started, "w").worker(Assigned, "w", in0, in1).restore("w", 0, 5, false).round("w", 3, 7).
		worker(Started, "v").worker(Crashed, "v").worker(Revoked, "w", in1)
	b.send("w", 4, 8, rec(out0, "a", "1"))
	want := `w: 1 rounds committed
  owns in/0, committed offset 3 (weir1:7)
  restores t/0: at 0 of 5 ()
  round 12 is on its way: 1 records, offsets in/0=4
`
	if got := b.h.State(); got != want {
		t.Errorf("state:\n%swant:\n%s", got, want)
	}
}
