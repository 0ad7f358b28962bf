package task

import (
	"context"
	"fmt"
	"iter"
	"slices"

	"github.com/weirstream/weir/core/record"
	"github.com/weirstream/weir/core/store"
	"github.com/weirstream/weir/core/topology"
)

// A scope is what one function of the application may touch, and what
// happens when it fails.
type scope struct {
	name              string
	uses, sends, sets []string
	policy            topology.Policy
	// last is the table used last: most functions use one.
	last      *topology.Table
	lastSpace *space
}

// taskContext is the topology.Context of a task. There is one for each task;
// it works only between enter and leave.
type taskContext struct {
	context.Context
	t     *Task
	scope *scope
	rec   *record.Record
	batch []*record.Record // that the agent at work holds besides
	now   int64
	rand  uint64
	fault error
}

var _ topology.Context = (*taskContext)(nil)

func (c *taskContext) enter(sc *scope, r *record.Record, now int64) {
	c.scope, c.rec, c.now, c.rand = sc, r, now, 0
}

func (c *taskContext) leave() { c.scope, c.batch = nil, nil }

func (c *taskContext) Record() *record.Record { return c.rec }
func (c *taskContext) Task() string           { return c.t.id.String() }
func (c *taskContext) Partition() int32       { return c.t.id.Partition }
func (c *taskContext) Now() int64             { return c.now }
func (c *taskContext) StreamTime() int64      { return c.t.streamTime }

func (c *taskContext) Agent() string {
	if c.scope == nil {
		return ""
	}
	return c.scope.name
}

// Rand is splitmix64 over a state that starts from where the record is and
// who handles it.
func (c *taskContext) Rand() uint64 {
	if c.rand == 0 {
		c.rand = seed(c.rec, c.Agent())
	}
	c.rand += 0x9e3779b97f4a7c15
	z := c.rand
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	return z ^ z>>31
}

// seed is FNV-1a over the record's place and the agent's name.
func seed(r *record.Record, agent string) uint64 {
	h := uint64(14695981039346656037)
	mix := func(b byte) { h = (h ^ uint64(b)) * 1099511628211 }
	for i := range len(r.Topic) {
		mix(r.Topic[i])
	}
	for i := range len(agent) {
		mix(agent[i])
	}
	for i := range 8 {
		mix(byte(r.Offset >> (8 * i)))
		mix(byte(r.Time >> (8 * i)))
	}
	for i := range 4 {
		mix(byte(r.Partition >> (8 * i)))
	}
	return h | 1
}

// table finds the space of a table that the running function may use.
func (c *taskContext) table(table *topology.Table) (*space, error) {
	sc := c.scope
	if sc == nil {
		return nil, topology.ErrInactive
	}
	if sc.last == table {
		return sc.lastSpace, nil
	}
	if !slices.Contains(sc.uses, table.Name) {
		return nil, fmt.Errorf("%q uses table %q without saying so: add weir.Uses(...) with that table to its declaration: %w", sc.name, table.Name, topology.ErrUndeclared)
	}
	s := c.t.byTable[table.Name]
	if s == nil {
		return nil, fmt.Errorf("table %q cannot be written by %q: %w", table.Name, sc.name, topology.ErrUndeclared)
	}
	sc.last, sc.lastSpace = table, s
	return s, nil
}

// broken notes that the store failed, which no policy of an agent can answer.
func (c *taskContext) broken(table string, err error) error {
	c.fault = fmt.Errorf("task %s: table %q: %w", c.t.id, table, err)
	return c.fault
}

func (c *taskContext) Get(table *topology.Table, key, dst []byte) ([]byte, bool, error) {
	if table.Global() {
		return c.getGlobal(table, key, dst)
	}
	s, err := c.table(table)
	if err != nil {
		return dst, false, err
	}
	v, found, err := s.get(key, dst)
	if err != nil {
		return dst, false, c.broken(table.Name, err)
	}
	return v, found, nil
}

func (c *taskContext) global(table *topology.Table) (store.Reader, error) {
	if c.scope == nil {
		return nil, topology.ErrInactive
	}
	r := c.t.globals[table.Name]
	if r == nil || !slices.Contains(c.scope.uses, table.Name) {
		return nil, fmt.Errorf("%q uses global table %q without saying so: add weir.Uses(...) with that table to its declaration: %w", c.scope.name, table.Name, topology.ErrUndeclared)
	}
	return r, nil
}

func (c *taskContext) getGlobal(table *topology.Table, key, dst []byte) ([]byte, bool, error) {
	r, err := c.global(table)
	if err != nil {
		return dst, false, err
	}
	v, found, err := r.Get(key, dst)
	if err != nil {
		return dst, false, c.broken(table.Name, err)
	}
	return v, found, nil
}

func (c *taskContext) Put(table *topology.Table, key, value []byte) error {
	if value == nil {
		return fmt.Errorf("table %q: a value must not be nil: delete the key instead", table.Name)
	}
	s, err := c.table(table)
	if err != nil {
		return err
	}
	s.write(&c.t.journal, key, value, false)
	return nil
}

func (c *taskContext) Delete(table *topology.Table, key []byte) error {
	s, err := c.table(table)
	if err != nil {
		return err
	}
	s.write(&c.t.journal, key, nil, true)
	return nil
}

func (c *taskContext) Scan(table *topology.Table, from, to []byte) iter.Seq2[topology.Entry, error] {
	return func(yield func(topology.Entry, error) bool) {
		if table.Global() {
			c.scanGlobal(table, from, to, yield)
			return
		}
		s, err := c.table(table)
		if err != nil {
			yield(topology.Entry{}, err)
			return
		}
		for e, err := range s.scan(from, to) {
			if err != nil {
				err = c.broken(table.Name, err)
			}
			if !yield(e, err) {
				return
			}
		}
	}
}

func (c *taskContext) scanGlobal(table *topology.Table, from, to []byte, yield func(topology.Entry, error) bool) {
	r, err := c.global(table)
	if err != nil {
		yield(topology.Entry{}, err)
		return
	}
	for e, err := range r.Scan(from, to) {
		if err != nil {
			err = c.broken(table.Name, err)
		}
		if !yield(topology.Entry(e), err) {
			return
		}
	}
}

// Window says which window a write at time at belongs to. A record that is
// late for a window is counted and goes to the table's late topic, once in a
// step however often it is written.
func (c *taskContext) Window(table *topology.Table, at int64) (int64, bool, error) {
	if _, err := c.table(table); err != nil {
		return 0, false, err
	}
	start := table.Window.Start(at)
	if c.t.streamTime < table.Window.CloseAt(start) {
		return start, true, nil
	}
	w := lateWrite{table.Name, c.cause(table.Name, at), at}
	if slices.Contains(c.t.late, w) {
		return start, false, nil
	}
	c.t.late = append(c.t.late, w)
	c.t.stats.Late++
	if table.Late == "" {
		return start, false, nil
	}
	r := w.rec
	return start, false, c.t.send(table.Late, topology.Output{Partition: -1, Key: r.Key, Value: r.Value, Headers: r.Headers, Time: r.Time}, r)
}

// cause is the record that a write at time at comes from. Of those that a batch
// has at hand it is the one of that time; when several are of that time, a write
// after the first late one is taken to come from the next of them.
func (c *taskContext) cause(table string, at int64) *record.Record {
	if len(c.batch) == 0 {
		return c.rec
	}
	before := 0
	for _, w := range c.t.late {
		if w.table == table && w.at == at {
			before++
		}
	}
	found := c.rec
	for _, r := range append(c.batch[:len(c.batch):len(c.batch)], c.rec) {
		if r.Time != at {
			continue
		}
		if found = r; before == 0 {
			break
		}
		before--
	}
	return found
}

// A lateWrite is a write that came too late for its window.
type lateWrite struct {
	table string
	rec   *record.Record
	at    int64
}

func (c *taskContext) Send(topic string, out topology.Output) error {
	if c.scope == nil {
		return topology.ErrInactive
	}
	if !slices.Contains(c.scope.sends, topic) {
		return fmt.Errorf("%q sends to topic %q without saying so: add weir.Sends(...) with that topic to its declaration: %w", c.scope.name, topic, topology.ErrUndeclared)
	}
	return c.t.send(topic, out, c.rec)
}

// send adds an output record; cause is the record that led to it.
func (t *Task) send(topic string, out topology.Output, cause *record.Record) error {
	n := t.cfg.Partitions(topic)
	if n <= 0 {
		return fmt.Errorf("topic %q does not exist: create it and restart", topic)
	}
	p := out.Partition
	switch {
	case p >= n:
		return fmt.Errorf("topic %q has %d partitions, there is no partition %d", topic, n, p)
	case p >= 0:
	case out.Key != nil:
		p = record.Partition(out.Key, n)
	default:
		p = int32((int64(cause.Partition) + max(cause.Offset, 0)) % int64(n))
	}
	t.outs.add(record.Record{Topic: topic, Partition: p, Time: out.Time, Key: out.Key, Value: out.Value, Headers: out.Headers})
	return nil
}

func (c *taskContext) timers(timer *topology.Timer) (*timers, error) {
	if c.scope == nil {
		return nil, topology.ErrInactive
	}
	for _, tm := range c.t.timers {
		if tm.timer.Name == timer.Name && slices.Contains(c.scope.sets, timer.Name) {
			return tm, nil
		}
	}
	return nil, fmt.Errorf("%q sets timer %q without saying so: add weir.Sets(...) with that timer to its declaration: %w", c.scope.name, timer.Name, topology.ErrUndeclared)
}

func (c *taskContext) SetTimer(timer *topology.Timer, key []byte, at int64) error {
	tm, err := c.timers(timer)
	if err != nil {
		return err
	}
	return tm.set(c, key, at)
}

func (c *taskContext) CancelTimer(timer *topology.Timer, key []byte) error {
	tm, err := c.timers(timer)
	if err != nil {
		return err
	}
	return tm.cancel(c, key)
}
