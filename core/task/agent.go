package task

import (
	"github.com/weirstream/weir/core/record"
	"github.com/weirstream/weir/core/topology"
)

// An agent is one agent at work in one task.
type agent struct {
	scope
	spec  *topology.Agent
	proc  topology.Processor
	batch topology.BatchProcessor // proc, when it may hold records back
	// held are the records that the processor keeps for a batch; redo are
	// those of a batch that failed and is to be tried again.
	held, redo []*record.Record
	attempts   int
}

func newAgent(spec *topology.Agent) *agent {
	a := &agent{spec: spec, scope: scope{name: spec.Name, uses: spec.Uses, sends: spec.Sends, sets: spec.Sets, policy: spec.Policy}}
	a.start()
	return a
}

// start makes a fresh processor.
func (a *agent) start() {
	a.proc = a.spec.New()
	a.batch, _ = a.proc.(topology.BatchProcessor)
	a.held = a.held[:0]
}

// holds reports whether records that the agent saw are not yet handled.
func (a *agent) holds() bool { return len(a.held) > 0 || len(a.redo) > 0 }

// note remembers r as handed over, and forgets what is no longer held.
func (a *agent) note(r *record.Record) {
	if a.batch == nil {
		return
	}
	if r != nil {
		a.held = append(a.held, r)
	}
	n := a.batch.Held()
	a.held = append(a.held[:0], a.held[len(a.held)-n:]...)
}

func (a *agent) close() {
	if a.batch != nil {
		a.batch.Close()
	}
}

// reset forgets everything that was not committed.
func (a *agent) reset() {
	a.close()
	a.redo, a.attempts = nil, 0
	a.start()
}
