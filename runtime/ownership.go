package runtime

import (
	"fmt"
	"sync"

	"github.com/weirstream/weir/core/store"
	"github.com/weirstream/weir/core/task"
)

// An ownership says which tasks this worker may commit for. It is shared by
// the group's callbacks, which change it, and the lanes' committers, which
// look at it between reading the membership and sending offsets: a task that
// was given away before is found missing, and one that is given away after
// has its commit refused by the broker, because the generation moved on.
type ownership struct {
	mu    sync.Mutex
	tasks map[task.ID]store.Generation
}

func newOwnership() *ownership { return &ownership{tasks: make(map[task.ID]store.Generation)} }

func (o *ownership) add(gen store.Generation, ids []task.ID) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, id := range ids {
		o.tasks[id] = gen
	}
}

func (o *ownership) remove(ids []task.ID) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, id := range ids {
		delete(o.tasks, id)
	}
}

// has reports whether a task is still owned in that generation.
func (o *ownership) has(id task.ID, gen store.Generation) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	owned, ok := o.tasks[id]
	return ok && owned == gen
}

// claim checks that all epochs of a round are still owned.
func (o *ownership) claim(epochs []*task.Epoch) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, e := range epochs {
		if gen, ok := o.tasks[e.Task]; !ok || gen != e.Generation {
			return fmt.Errorf("task %s was given away before its commit", e.Task)
		}
	}
	return nil
}
