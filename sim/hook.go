package sim

import (
	"github.com/weirstream/weir/core/record"
	"github.com/weirstream/weir/core/store"
	"github.com/weirstream/weir/core/worker"
)

// hooks let the package's own tests steer the driver, and plant mistakes in it
// to see that they are found. All are nil in a simulation.
type hooks struct {
	configure func(*config)
	// choose picks one of n things that could happen next.
	choose func(n int) int
	// limit bounds a fetch, a restore batch or a piece of work that may
	// have up to most records.
	limit func(most int) int
	// fault is asked for each commit.
	fault    func(p *process) Fault
	event    func(p *process, ev worker.Event) worker.Event
	effect   func(p *process, ev worker.Event, e worker.Effect) worker.Effect
	after    func(p *process, ev worker.Event)
	round    func(j *roundJob)
	stage    func(j *roundJob) bool // true: the stage is done differently
	batch    func(p *process, b *store.Batch)
	restored func(rs []record.Record) []record.Record
	logEnd   func(p *partition) int64
	unstable bool
}
