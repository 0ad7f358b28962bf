package assign

import (
	"cmp"
	"slices"
	"strconv"
)

// A Task is one sub-topology on one partition number, the unit that moves
// between members.
type Task struct {
	Sub       string
	Partition int32
}

// String returns "sub/partition".
func (t Task) String() string { return t.Sub + "/" + strconv.Itoa(int(t.Partition)) }

// Compare orders tasks by sub-topology, then partition.
func (t Task) Compare(other Task) int {
	if c := cmp.Compare(t.Sub, other.Sub); c != 0 {
		return c
	}
	return cmp.Compare(t.Partition, other.Partition)
}

// A Group is a set of co-partitioned topics: the sources of a sub-topology.
type Group struct {
	// Sub is the name of the sub-topology.
	Sub string
	// Sources are the topics it reads. A topic belongs to one group; when
	// several name it, the group with the smallest name has it.
	Sources []string
	// Standbys is the number of replicas that each of its tasks is to have.
	// Zero for a sub-topology without state.
	Standbys int
}

// normalize orders groups and sources, merges groups of one name, and leaves
// every topic in one group only.
func normalize(groups []Group) []Group {
	bySub := make(map[string][]string, len(groups))
	standbys := make(map[string]int, len(groups))
	for _, g := range groups {
		bySub[g.Sub] = append(bySub[g.Sub], g.Sources...)
		standbys[g.Sub] = max(standbys[g.Sub], g.Standbys)
	}
	names := make([]string, 0, len(bySub))
	for name := range bySub {
		names = append(names, name)
	}
	slices.Sort(names)
	taken := make(map[string]bool)
	out := make([]Group, 0, len(names))
	for _, name := range names {
		g := Group{Sub: name, Standbys: standbys[name]}
		for _, topic := range bySub[name] {
			if !taken[topic] {
				taken[topic] = true
				g.Sources = append(g.Sources, topic)
			}
		}
		slices.Sort(g.Sources)
		out = append(out, g)
	}
	return out
}

// count is the number of tasks of the group: that of the partitions of its
// largest source. A topic that is not in partitions has none.
func (g Group) count(partitions map[string]int32) int32 {
	var n int32
	for _, topic := range g.Sources {
		n = max(n, partitions[topic])
	}
	return n
}
