package task

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math"

	"github.com/weirstream/weir/core/record"
	"github.com/weirstream/weir/core/topology"
)

// unknownTime as timers.next means: look.
const unknownTime = math.MinInt64

// timers are the durable timers of one name. Their space holds two entries
// for each timer: 't' time key, ordered by time, and 'k' key → time, to find
// and move it. Both change together, so a timer exists once.
type timers struct {
	timer *topology.Timer
	space *space
	next  int64 // no timer is due before; unknownTime when not known
	due   [][]byte
	sc    *scope
}

func timeKey(at int64, key []byte) []byte {
	b := binary.BigEndian.AppendUint64([]byte{'t'}, uint64(at)^(1<<63))
	return append(b, key...)
}

func ownKey(key []byte) []byte { return append([]byte{'k'}, key...) }

func (tm *timers) set(c *taskContext, key []byte, at int64) error {
	if err := tm.cancel(c, key); err != nil {
		return err
	}
	j := &c.t.journal
	tm.space.write(j, timeKey(at, key), nil, false)
	tm.space.write(j, ownKey(key), binary.BigEndian.AppendUint64(nil, uint64(at)), false)
	tm.next = min(tm.next, at)
	return nil
}

func (tm *timers) cancel(c *taskContext, key []byte) error {
	v, found, err := tm.space.get(ownKey(key), nil)
	if err != nil {
		return c.broken(tm.timer.Name, err)
	}
	if !found {
		return nil
	}
	if len(v) != 8 {
		return c.broken(tm.timer.Name, fmt.Errorf("timer of key %q is damaged", key))
	}
	j := &c.t.journal
	tm.space.write(j, timeKey(int64(binary.BigEndian.Uint64(v)), key), nil, true)
	tm.space.write(j, ownKey(key), nil, true)
	return nil
}

// collect finds the timers that are due at stream time at.
func (tm *timers) collect(at int64) error {
	if tm.next > at {
		return nil
	}
	tm.due = tm.due[:0]
	tm.next = math.MaxInt64
	for e, err := range tm.space.scan([]byte{'t'}, []byte{'u'}) {
		if err != nil {
			return err
		}
		if len(e.Key) < 9 {
			return fmt.Errorf("timer entry %x is damaged", e.Key)
		}
		if when := int64(binary.BigEndian.Uint64(e.Key[1:9]) ^ (1 << 63)); when > at {
			tm.next = when
			break
		}
		tm.due = append(tm.due, bytes.Clone(e.Key))
	}
	return nil
}

func (tm *timers) scope() *scope {
	if tm.sc == nil {
		tm.sc = &scope{name: tm.timer.Name, uses: tm.timer.Uses, sends: tm.timer.Sends, sets: []string{tm.timer.Name}, policy: tm.timer.Policy}
	}
	return tm.sc
}

// fireNext fires the next timer that is due. step.at counts the timer names
// whose due timers were collected.
func (t *Task) fireNext(now int64) Status {
	for t.step.at < len(t.timers) {
		tm := t.timers[t.step.at]
		if !t.step.collected {
			if err := tm.collect(t.streamTime); err != nil {
				return t.broken(tm.timer.Name, err)
			}
			t.step.collected = true
		}
		if len(tm.due) > 0 {
			return t.fire(now, tm, tm.due[0])
		}
		t.step.at++
		t.step.collected = false
	}
	t.step.phase, t.step.at = handling, 0
	return Progress
}

// fire removes a timer and runs its function. A timer that was moved or
// cancelled by one that fired before it in this step does not fire.
func (t *Task) fire(now int64, tm *timers, at []byte) Status {
	_, live, err := tm.space.get(at, nil)
	if err != nil {
		return t.broken(tm.timer.Name, err)
	}
	if !live {
		tm.due = tm.due[1:]
		return Progress
	}
	key := at[9:]
	r := &record.Record{Partition: t.id.Partition, Offset: -1, Time: int64(binary.BigEndian.Uint64(at[1:9]) ^ (1 << 63)), Key: key}
	remove := func() {
		tm.space.write(&t.journal, at, nil, true)
		tm.space.write(&t.journal, ownKey(key), nil, true)
	}
	err = t.attempt(now, tm.scope(), r, func() error {
		remove()
		return tm.timer.Fire(&t.ctx, key)
	})
	if err != nil {
		if st := t.settle(now, tm.scope(), &t.step.attempts, []*record.Record{r}, err); st != Progress {
			return st
		}
		remove()
	}
	t.step.attempts = 0
	t.stats.Fired++
	tm.due = tm.due[1:]
	return Progress
}
