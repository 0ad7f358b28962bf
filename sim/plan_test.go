package sim

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"pgregory.net/rapid"
)

// A plan is one case: an application, and what happens to it.
type plan struct {
	Seed        uint64
	AtLeastOnce bool
	Workers     int
	Partitions  int
	Sources     int
	Shared      bool // the sources share a table, and so a sub-topology
	Features    []feature
	Grace       time.Duration
	Retain      time.Duration // negative: forever
	Batch       int
	Ops         []op
}

// A feature is one agent of the application, for every source.
type feature uint8

const (
	counting feature = iota
	folding
	deleting
	filtering
	grouping
	windowing
	timing
	failing
	batching
	joining
	lastFeature
)

func (f feature) String() string {
	return [...]string{"count", "fold", "delete", "filter", "group", "window", "timer", "fail", "batch", "join"}[f]
}

// An op is one thing that a case does.
type op struct {
	Kind opKind
	A, B int
}

type opKind uint8

const (
	opSend opKind = iota
	opSteps
	opAdvance
	opCommit
	opCrash
	opRestart
	opMove
	opAddWorker
	opStop
	opFreeze
	opThaw
	opFault
	opCompact
	opTimeout
	opZombie
)

func (k opKind) String() string {
	return [...]string{"send", "steps", "advance", "commit", "crash", "restart", "move", "add worker", "stop", "freeze", "thaw", "fault", "compact", "time out", "zombie"}[k]
}

func (o op) String() string { return fmt.Sprintf("%s(%d,%d)", o.Kind, o.A, o.B) }

// kinds weighs the ops.
var kinds = []opKind{
	opSend, opSend, opSend, opSend, opSend, opSteps, opSteps, opSteps, opSteps, opSteps, opSteps, opSteps,
	opAdvance, opAdvance, opCommit, opCommit, opCommit, opCrash, opCrash, opRestart, opRestart, opMove, opMove,
	opAddWorker, opStop, opFreeze, opThaw, opThaw, opFault, opFault, opCompact, opTimeout, opZombie,
}

// plans draws cases of one guarantee.
func plans(atLeastOnce bool) *rapid.Generator[plan] {
	return rapid.Custom(func(t *rapid.T) plan {
		p := plan{
			AtLeastOnce: atLeastOnce,
			Seed:        uint64(below(t, 1<<16)),
			Workers:     1 + below(t, 3),
			Partitions:  1 + below(t, 3),
			Sources:     1 + below(t, 3),
			Shared:      below(t, 2) == 1,
			Grace:       time.Duration(below(t, 3)) * 5 * time.Second,
			Retain:      time.Duration(below(t, 4)-1) * 10 * time.Second,
			Batch:       1 + below(t, 4),
		}
		for f := range lastFeature {
			if below(t, 3) == 1 {
				p.Features = append(p.Features, f)
			}
		}
		if len(p.Features) == 0 {
			p.Features = []feature{counting}
		}
		p.Ops = make([]op, 5+below(t, 40))
		for i := range p.Ops {
			p.Ops[i] = op{kinds[below(t, len(kinds))], below(t, 32), below(t, 32)}
		}
		return p
	})
}

var flip = rapid.Bool()

// below draws a number less than n, without rapid's preference for small
// ones: a case must be big to be interesting.
func below(t *rapid.T, n int) int {
	v := 0
	for m := 1; m < 4*n; m *= 2 {
		v *= 2
		if flip.Draw(t, "") {
			v++
		}
	}
	return v % n
}

// String says what a case does, for people.
func (p plan) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "seed %d, at least once %v, %d workers, %d sources (shared %v) of %d partitions, %v, grace %v, retain %v, batches of %d:",
		p.Seed, p.AtLeastOnce, p.Workers, p.Sources, p.Shared, p.Partitions, p.Features, p.Grace, p.Retain, p.Batch)
	for _, o := range p.Ops {
		fmt.Fprintf(&b, " %s", o)
	}
	return b.String()
}

// has reports whether the application has a feature. Windows and timers with
// a reference need a stream time that has one: that of a single source.
func (p plan) has(f feature) bool {
	if (f == windowing || f == timing) && p.Shared && p.Sources > 1 {
		return false
	}
	return slices.Contains(p.Features, f)
}
