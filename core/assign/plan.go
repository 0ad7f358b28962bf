package assign

import (
	"slices"
	"strings"

	"github.com/weirstream/weir/core/record"
)

// A Plan says who runs what.
type Plan struct {
	// Members holds one entry for each member, ordered by ID; members
	// without tasks included.
	Members []Assignment
	// Kept counts the tasks that stay with a member that owns them, Warm
	// those that go to a member which still has their state, Cold the rest.
	Kept, Warm, Cold int
}

// An Assignment is what one member gets.
type Assignment struct {
	ID string
	// Tasks in order.
	Tasks []Task
	// Partitions are the source partitions of the tasks, in order.
	Partitions []record.TopicPartition
	// Standbys are the tasks that it keeps a replica of, in order.
	Standbys []Task
}

// Of returns the assignment of a member; it is empty for one the plan does
// not know.
func (p Plan) Of(id string) Assignment {
	for _, a := range p.Members {
		if a.ID == id {
			return a
		}
	}
	return Assignment{ID: id}
}

// String lists the plan with one line for each task, in task order, so that
// the difference between two plans is one line for each task that moved. The
// members with a standby of the task follow its owner with a plus. A member
// without tasks gets a line of its own at the end.
func (p Plan) String() string {
	type row struct {
		task Task
		id   string
	}
	var rows []row
	var idle []string
	standbys := make(map[Task]string)
	for _, a := range p.Members {
		for _, t := range a.Tasks {
			rows = append(rows, row{t, a.ID})
		}
		for _, t := range a.Standbys {
			standbys[t] += " +" + a.ID
		}
		if len(a.Tasks) == 0 {
			idle = append(idle, a.ID)
		}
	}
	slices.SortFunc(rows, func(a, b row) int { return a.task.Compare(b.task) })
	var b strings.Builder
	for _, r := range rows {
		b.WriteString(r.task.String() + " " + r.id + standbys[r.task] + "\n")
	}
	for _, id := range idle {
		b.WriteString("- " + id + "\n")
	}
	return b.String()
}

// plan expands the member of each task, and the members of its standbys, to a
// Plan.
func (in *input) plan(to []int, standbys [][]int) Plan {
	p := Plan{Members: make([]Assignment, len(in.members))}
	for m, id := range in.members {
		p.Members[m].ID = id
	}
	for s, sub := range in.subs {
		for t := sub.from; t < sub.to; t++ {
			a := &p.Members[to[t]]
			a.Tasks = append(a.Tasks, in.tasks[t])
			for _, topic := range in.groups[s].Sources {
				if n := in.tasks[t].Partition; n < in.partitions[topic] {
					a.Partitions = append(a.Partitions, record.TopicPartition{Topic: topic, Partition: n})
				}
			}
			for _, m := range standbys[t] {
				p.Members[m].Standbys = append(p.Members[m].Standbys, in.tasks[t])
			}
			switch tie := in.tieOf(t, to[t]); {
			case tie.owned:
				p.Kept++
			case tie.held:
				p.Warm++
			default:
				p.Cold++
			}
		}
	}
	for m := range p.Members {
		slices.SortFunc(p.Members[m].Partitions, record.TopicPartition.Compare)
	}
	return p
}

// tieOf returns what ties a task to a member; nothing, when there is no tie.
func (in *input) tieOf(task, member int) preference {
	for _, p := range in.prefer[task] {
		if p.member == member {
			return p
		}
	}
	return preference{member: member}
}
