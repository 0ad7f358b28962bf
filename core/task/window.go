package task

import (
	"bytes"

	"github.com/weirstream/weir/core/record"
	"github.com/weirstream/weir/core/topology"
)

// A window is a windowed table at work. Its entries are ordered by the start
// of their window, so the windows that an advance of stream time closes are
// one range of the table: nothing else needs to be stored to close each
// window exactly once, also after a restart, because stream time is committed
// with the entries.
type window struct {
	table *topology.Table
	space *space
	close cursor // windows to close in this step
	purge cursor // windows past their retention
	sc    *scope
}

// A cursor walks a range of the table while the table changes under it.
type cursor struct {
	from, to []byte
	active   bool
	keys     [][]byte // fetched ahead
}

const cursorKeys = 256

// next returns the next key of the range, or nil at its end.
func (c *cursor) next(s *space) ([]byte, error) {
	if !c.active {
		return nil, nil
	}
	if len(c.keys) == 0 {
		for e, err := range s.scan(c.from, c.to) {
			if err != nil {
				return nil, err
			}
			c.keys = append(c.keys, bytes.Clone(e.Key))
			if len(c.keys) == cursorKeys {
				break
			}
		}
		if len(c.keys) == 0 {
			c.active = false
			return nil, nil
		}
		c.from = append(bytes.Clone(c.keys[len(c.keys)-1]), 0)
	}
	return c.keys[0], nil
}

func (c *cursor) advance() { c.keys = c.keys[1:] }

// over sets the cursor to the windows w with from < start(w)+after <= to.
func (c *cursor) over(w *topology.Window, from, to, after int64) {
	*c = cursor{}
	if from != record.NoTime {
		if floorDiv(from-after, w.Size) == floorDiv(to-after, w.Size) {
			return
		}
		c.from = topology.AppendWindowStart(nil, from-after+1)
	}
	c.to = topology.AppendWindowStart(nil, to-after+1)
	c.active = true
}

func floorDiv(a, b int64) int64 {
	q := a / b
	if a%b < 0 {
		q--
	}
	return q
}

// schedule notes what an advance of stream time makes due.
func (w *window) schedule(from, to int64) {
	spec := w.table.Window
	life := spec.Size + spec.Grace
	if w.table.OnClose != nil || spec.Retain == 0 {
		w.close.over(spec, from, to, life)
	}
	if spec.Retain > 0 {
		w.purge.over(spec, from, to, life+spec.Retain)
	}
}

func (w *window) scope() *scope {
	if w.sc == nil {
		w.sc = &scope{name: w.table.Name, uses: append([]string{w.table.Name}, w.table.CloseUses...), sends: w.table.CloseSends, policy: w.table.Policy}
	}
	return w.sc
}

// closeNext closes or purges the next entry that is due, table by table.
func (t *Task) closeNext(now int64) Status {
	for _, w := range t.windows {
		key, err := w.close.next(w.space)
		if err == nil && key != nil {
			return t.closeEntry(now, w, key)
		}
		if err == nil {
			key, err = w.purge.next(w.space)
		}
		if err != nil {
			return t.broken(w.table.Name, err)
		}
		if key != nil {
			w.space.write(&t.journal, key, nil, true)
			w.purge.advance()
			return Progress
		}
	}
	t.step.phase = firing
	t.step.at = 0
	return Progress
}

func (t *Task) closeEntry(now int64, w *window, key []byte) Status {
	value, found, err := w.space.get(key, nil)
	if err != nil {
		return t.broken(w.table.Name, err)
	}
	if found && w.table.OnClose != nil {
		start, user, _ := topology.SplitWindowKey(key)
		// The record that stands for the close: the window's last instant.
		r := &record.Record{Topic: "", Partition: t.id.Partition, Offset: -1, Time: start + w.table.Window.Size - 1, Key: user, Value: value}
		err := t.attempt(now, w.scope(), r, func() error { return w.table.OnClose(&t.ctx, start, user, value) })
		if err != nil {
			if st := t.settle(now, w.scope(), &t.step.attempts, []*record.Record{r}, err); st != Progress {
				return st
			}
		}
		t.step.attempts = 0
		t.stats.Closed++
	}
	if found && w.table.Window.Retain == 0 {
		w.space.write(&t.journal, key, nil, true)
	}
	w.close.advance()
	return Progress
}

// broken makes the task Faulted.
func (t *Task) broken(table string, err error) Status {
	t.step.fault = t.ctx.broken(table, err)
	t.ctx.fault = nil
	return Faulted
}
