package sim

import (
	"fmt"
	"strings"

	"github.com/weirstream/weir/sim/generate"
	"pgregory.net/rapid"
)

// A plan is one case: an application, and what happens to it.
type plan struct {
	generate.Plan

	Seed        uint64
	AtLeastOnce bool
	Workers     int
	Standbys    int
	Ops         []op
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
		below := generate.Below
		p := plan{
			Plan:        generate.Plans().Draw(t, "application"),
			AtLeastOnce: atLeastOnce,
			Seed:        uint64(below(t, 1<<16)),
			Workers:     1 + below(t, 3),
		}
		p.Ops = make([]op, 5+below(t, 40))
		for i := range p.Ops {
			p.Ops[i] = op{kinds[below(t, len(kinds))], below(t, 32), below(t, 32)}
		}
		p.Standbys = below(t, 3)
		return p
	})
}

// String says what a case does, for people.
func (p plan) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "seed %d, at least once %v, %d workers, %d standbys, %s:", p.Seed, p.AtLeastOnce, p.Workers, p.Standbys, p.Plan)
	for _, o := range p.Ops {
		fmt.Fprintf(&b, " %s", o)
	}
	return b.String()
}
