package runtime

import (
	"sync"

	"github.com/weirstream/weir/core/assign"
	"github.com/weirstream/weir/core/record"
	"github.com/weirstream/weir/core/task"
	"github.com/weirstream/weir/core/topology"
)

// assignor is core/assign as a group protocol, with the tasks that this
// worker has state of, and the standbys that it keeps, as its user data.
type assignor struct {
	groups   []assign.Group
	mu       sync.Mutex
	held     map[task.ID]bool
	standbys []task.ID
}

var _ Briefer = (*assignor)(nil)

func newAssignor(t *topology.Topology, standbys int) *assignor {
	a := &assignor{held: make(map[task.ID]bool)}
	for _, s := range t.Subs {
		g := assign.Group{Sub: s.Name, Sources: s.Sources}
		if len(s.Stores()) > 0 {
			g.Standbys = standbys
		}
		a.groups = append(a.groups, g)
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

// forget is for tasks whose state is gone.
func (a *assignor) forget(id task.ID) {
	a.mu.Lock()
	defer a.mu.Unlock()
	delete(a.held, id)
}

// follow remembers which standbys the worker keeps.
func (a *assignor) follow(ids []task.ID) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.standbys = ids
}

func (a *assignor) UserData() []byte {
	a.mu.Lock()
	defer a.mu.Unlock()
	var d assign.Data
	for id := range a.held {
		d.Tasks = append(d.Tasks, assign.Task(id))
	}
	for _, id := range a.standbys {
		d.Standbys = append(d.Standbys, assign.Task(id))
	}
	return d.Encode() // ordered
}

// Assign implements Assignor.
func (a *assignor) Assign(members map[string]Member, partitions map[string]int32) (map[string][]record.TopicPartition, error) {
	plan, _, err := a.Brief(members, partitions)
	return plan, err
}

// Brief implements Briefer: members are told the standbys that they are to
// keep.
func (a *assignor) Brief(members map[string]Member, partitions map[string]int32) (map[string][]record.TopicPartition, map[string][]byte, error) {
	ms := make([]assign.Member, 0, len(members))
	for id, m := range members {
		ms = append(ms, assign.Member{ID: id, Owned: m.Owned, Data: m.UserData})
	}
	plan := make(map[string][]record.TopicPartition, len(members))
	briefs := make(map[string][]byte)
	for _, as := range assign.Assign(a.groups, partitions, ms).Members {
		plan[as.ID] = as.Partitions
		if len(as.Standbys) > 0 {
			briefs[as.ID] = assign.Data{Standbys: as.Standbys}.Encode()
		}
	}
	return plan, briefs, nil
}

// standbysOf reads what the leader said.
func standbysOf(brief []byte) []task.ID {
	d, _ := assign.DecodeData(brief)
	ids := make([]task.ID, len(d.Standbys))
	for i, t := range d.Standbys {
		ids[i] = task.ID(t)
	}
	return ids
}
