package runtime

import (
	"slices"
	"sync"

	"github.com/weirstream/weir/core/assign"
	"github.com/weirstream/weir/core/record"
	"github.com/weirstream/weir/core/task"
	"github.com/weirstream/weir/core/topology"
)

// assignor is core/assign as a group protocol, with the tasks that this
// worker has state of as its user data.
type assignor struct {
	groups []assign.Group
	mu     sync.Mutex
	held   map[task.ID]bool
}

func newAssignor(t *topology.Topology) *assignor {
	a := &assignor{held: make(map[task.ID]bool)}
	for _, s := range t.Subs {
		a.groups = append(a.groups, assign.Group{Sub: s.Name, Sources: s.Sources})
	}
	return a
}

func (a *assignor) Name() string { return "weir" }

// note remembers that the worker has state of the tasks.
func (a *assignor) note(ids []task.ID) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, id := range ids {
		a.held[id] = true
	}
}

func (a *assignor) UserData() []byte {
	a.mu.Lock()
	defer a.mu.Unlock()
	var d assign.Data
	for id := range a.held {
		d.Tasks = append(d.Tasks, assign.Task{Sub: id.Sub, Partition: id.Partition})
	}
	slices.SortFunc(d.Tasks, func(x, y assign.Task) int {
		return task.ID(x).Compare(task.ID(y))
	})
	return d.Encode()
}

func (a *assignor) Assign(members map[string]Member, partitions map[string]int32) (map[string][]record.TopicPartition, error) {
	ms := make([]assign.Member, 0, len(members))
	for id, m := range members {
		ms = append(ms, assign.Member{ID: id, Owned: m.Owned, Data: m.UserData})
	}
	plan := make(map[string][]record.TopicPartition, len(members))
	for _, as := range assign.Assign(a.groups, partitions, ms).Members {
		plan[as.ID] = as.Partitions
	}
	return plan, nil
}
