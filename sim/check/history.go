package check

import (
	"bufio"
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"sync"
	"time"

	"github.com/weirstream/weir/core/record"
)

// A Kind says what an event is about.
type Kind string

// Kinds of events.
const (
	// TopicIs describes a topic: Topic, Role, Table for changelogs.
	TopicIs Kind = "topic"
	// Started, Stopped and Crashed are the life of a worker process. Took is
	// how long a stop took.
	Started Kind = "started"
	Stopped Kind = "stopped"
	Crashed Kind = "crashed"
	// Assigned, Revoked and Lost are what the group told a worker: Parts.
	// Revoked is when the worker has given the partitions up.
	Assigned Kind = "assigned"
	Revoked  Kind = "revoked"
	Lost     Kind = "lost"
	// Sent is a commit round on its way: Round, Records, Offsets.
	Sent Kind = "sent"
	// Decided is its outcome: Round, Outcome.
	Decided Kind = "decided"
	// Opened is what a store held when a space was opened: Space, Position,
	// Entries; Corrupt when it was found damaged.
	Opened Kind = "opened"
	// Held is the same at the end of a run.
	Held Kind = "held"
	// HeldGlobal is what a worker held of a global table at the end of a run:
	// Table, Topic, Offsets up to which it was read, Entries.
	HeldGlobal Kind = "held globally"
	// Restoring is the progress of a restore: Space, From, Reached, To, Done.
	Restoring Kind = "restoring"
	// Following is what a standby is at when all else is at rest: Table,
	// Partition, Reached of To, Done when it has caught up. Worker is named as
	// in Held.
	Following Kind = "following"
	// Compacted says that the broker compacted its logs.
	Compacted Kind = "compacted"
	// Fault is anything that was done to the system: Note.
	Fault Kind = "fault"
	// Healed says that there are no more faults.
	Healed Kind = "healed"
	// Caught says that all input was committed: Took since Healed.
	Caught Kind = "caught up"

	// What follows describes the end of a run.

	// Log is one committed record: Record.
	Log Kind = "log"
	// LogIs is a partition: Start, Stable, End.
	LogIs Kind = "log is"
	// OffsetIs is a committed offset: Topic, Partition, End.
	OffsetIs Kind = "offset"
	// GroupIs is the group before it was stopped: Note is its state, Members
	// its assignment.
	GroupIs Kind = "group"
)

// Roles of topics.
const (
	Source      = "source"
	Output      = "output"
	Repartition = "repartition"
	Changelog   = "changelog"
)

// An Event is something that happened.
type Event struct {
	N    int64  `json:"n"`
	At   int64  `json:"at"` // Unix milliseconds
	Kind Kind   `json:"kind"`
	Note string `json:"note,omitempty"`
	// Worker names one life of a worker process.
	Worker string `json:"worker,omitempty"`

	Topic     string          `json:"topic,omitempty"`
	Partition int32           `json:"partition,omitempty"`
	Role      string          `json:"role,omitempty"`
	Table     string          `json:"table,omitempty"`
	Parts     []TP            `json:"parts,omitempty"`
	Round     int64           `json:"round,omitempty"`
	Records   []Record        `json:"records,omitempty"`
	Offsets   []Offset        `json:"offsets,omitempty"`
	Outcome   string          `json:"outcome,omitempty"`
	Position  *Position       `json:"position,omitempty"`
	Entries   []Entry         `json:"entries,omitempty"`
	Corrupt   bool            `json:"corrupt,omitempty"`
	From      int64           `json:"from,omitempty"`
	Reached   int64           `json:"reached,omitempty"`
	To        int64           `json:"to,omitempty"`
	Done      bool            `json:"done,omitempty"`
	Record    *Record         `json:"record,omitempty"`
	Start     int64           `json:"start,omitempty"`
	Stable    int64           `json:"stable,omitempty"`
	End       int64           `json:"end,omitempty"`
	Took      int64           `json:"took,omitempty"` // milliseconds
	Session   int64           `json:"session,omitempty"`
	Members   map[string][]TP `json:"members,omitempty"`
}

// A TP is a topic partition.
type TP = record.TopicPartition

// A Record is a record of a topic. Offset is that in the log, once known.
type Record struct {
	TP
	Offset int64  `json:"offset"`
	Time   int64  `json:"time"`
	Key    []byte `json:"key"`
	Value  []byte `json:"value"`
	// Round is the commit round that it came with, or 0.
	Round int64 `json:"round,omitempty"`
}

// An Offset is a committed offset.
type Offset struct {
	TP
	At       int64  `json:"at"`
	Metadata string `json:"metadata,omitempty"`
}

// A Position is what a store says that it holds.
type Position struct {
	Changelog  int64 `json:"changelog"`
	StreamTime int64 `json:"streamTime"`
}

// An Entry is an entry of a table.
type Entry struct {
	Key   []byte `json:"key"`
	Value []byte `json:"value"`
}

// A History is what happened, in order. Add may be called from several
// goroutines at once; everything else is for the time after.
type History struct {
	Events []Event
	// Forward, when set, is given each event instead of keeping it, by one
	// goroutine at a time, and returns its number: for a worker process whose
	// history must outlive it. It is set before the history is used.
	Forward func(Event) int64

	mu    sync.Mutex
	views *views // while All looks at the history
}

// views are what several checkers look at, each worked out when it is first
// asked for. Nobody may change them.
type views struct {
	logs    func() map[TP][]*Record
	rounds  func() map[int64]*round
	writes  func() written
	outcome func() Expectation
}

// look returns views of the history as it is. While All has them kept, they are
// worked out once.
func (h *History) look() *views {
	if h.views != nil {
		return h.views
	}
	return &views{sync.OnceValue(h.sortLogs), sync.OnceValue(h.pairRounds), sync.OnceValue(h.collectWrites), sync.OnceValue(h.comeOut)}
}

// keep keeps the views until the function that it returns is called.
func (h *History) keep() (end func()) {
	h.views = h.look()
	return func() { h.views = nil }
}

// Add notes an event and returns its number, from 1, which is that of the
// round for Sent.
func (h *History) Add(e Event) int64 {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.Forward != nil {
		return h.Forward(e)
	}
	e.N, e.At = int64(len(h.Events)+1), time.Now().UnixMilli()
	if e.Kind == Sent {
		e.Round = e.N
	}
	h.Events = append(h.Events, e)
	return e.N
}

// Write writes a history as one line of JSON for each event.
func (h *History) Write(w io.Writer) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	enc := json.NewEncoder(w)
	for i := range h.Events {
		if err := enc.Encode(&h.Events[i]); err != nil {
			return err
		}
	}
	return nil
}

// Read reads what Write wrote.
func Read(r io.Reader) (*History, error) {
	h := &History{}
	lines := bufio.NewReader(r)
	dec := json.NewDecoder(lines)
	for {
		var e Event
		switch err := dec.Decode(&e); err {
		case nil:
			h.Events = append(h.Events, e)
		case io.EOF:
			return h, nil
		default:
			return nil, fmt.Errorf("event %d of the history: %w", len(h.Events)+1, err)
		}
	}
}

// of returns the events of some kinds, in order.
func (h *History) of(kinds ...Kind) []*Event {
	var es []*Event
	for i := range h.Events {
		if slices.Contains(kinds, h.Events[i].Kind) {
			es = append(es, &h.Events[i])
		}
	}
	return es
}

// roles maps topics to their roles.
func (h *History) roles() map[string]string {
	m := make(map[string]string)
	for _, e := range h.of(TopicIs) {
		m[e.Topic] = e.Role
	}
	return m
}

// logs returns the committed records of each partition in order of offsets.
func (h *History) logs() map[TP][]*Record { return h.look().logs() }

func (h *History) sortLogs() map[TP][]*Record {
	m := make(map[TP][]*Record)
	for _, e := range h.of(Log) {
		m[e.Record.TP] = append(m[e.Record.TP], e.Record)
	}
	for _, rs := range m {
		slices.SortFunc(rs, func(a, b *Record) int { return cmp.Compare(a.Offset, b.Offset) })
	}
	return m
}

// Inputs returns the committed records of the sources, by topic, partition
// and offset.
func (h *History) Inputs() []Record {
	roles := h.roles()
	var rs []Record
	for _, e := range h.of(Log) {
		if roles[e.Record.Topic] == Source {
			rs = append(rs, *e.Record)
		}
	}
	slices.SortFunc(rs, func(a, b Record) int {
		return cmp.Or(a.TP.Compare(b.TP), cmp.Compare(a.Offset, b.Offset))
	})
	return rs
}

// A round is a commit round with its outcome, if that was heard of.
type round struct {
	sent    *Event
	outcome string // empty: the worker died first, or is still waiting
	visible int    // records in the logs
}

// rounds returns all rounds by number, with the records of each that are in
// the logs counted.
func (h *History) rounds() map[int64]*round { return h.look().rounds() }

func (h *History) pairRounds() map[int64]*round {
	m := make(map[int64]*round)
	for _, e := range h.of(Sent) {
		m[e.Round] = &round{sent: e}
	}
	for _, e := range h.of(Decided) {
		if r := m[e.Round]; r != nil {
			r.outcome = e.Outcome
		}
	}
	for _, e := range h.of(Log) {
		if r := m[e.Record.Round]; r != nil {
			r.visible++
		}
	}
	return m
}

// tps returns the keys of a map of partitions in order.
func tps[V any](m map[TP]V) []TP {
	ks := make([]TP, 0, len(m))
	for k := range m {
		ks = append(ks, k)
	}
	slices.SortFunc(ks, TP.Compare)
	return ks
}
