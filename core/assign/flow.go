package assign

import "math"

// A flow is a network on which run finds a maximum flow of minimum cost. It
// repeats two steps: find how cheap the cheapest augmenting path is, then
// augment along all such paths at once. Costs here take few distinct values,
// so few rounds are needed. Edges are tried in the order in which they were
// linked; that order alone decides between flows of equal cost.
type flow struct {
	edges []edge  // an edge and its reverse are neighbours
	out   [][]int // edges by the node they leave
	dist  []int64
	tried []int  // by node: edges already used up in this round
	busy  []bool // by node: on the path being built, or in the queue
}

type edge struct {
	to, room int
	cost     int64
}

const unreached = math.MaxInt64

func newFlow(nodes int) *flow {
	return &flow{
		out:   make([][]int, nodes),
		dist:  make([]int64, nodes),
		tried: make([]int, nodes),
		busy:  make([]bool, nodes),
	}
}

// link adds an edge. A zero capacity adds none.
func (f *flow) link(from, to, capacity int, cost int64) {
	if capacity == 0 {
		return
	}
	f.out[from] = append(f.out[from], len(f.edges))
	f.out[to] = append(f.out[to], len(f.edges)+1)
	f.edges = append(f.edges, edge{to, capacity, cost}, edge{from, 0, -cost})
}

// run pushes as much as possible from source to sink as cheaply as possible.
// The network must not have a cycle of negative cost.
func (f *flow) run(source, sink int) {
	for f.measure(source, sink) {
		clear(f.tried)
		for f.augment(source, sink, math.MaxInt) > 0 {
		}
	}
}

// measure sets dist to the cost of the cheapest path from source to each node
// (Bellman–Ford with a queue) and reports whether sink can be reached.
func (f *flow) measure(source, sink int) bool {
	for i := range f.dist {
		f.dist[i] = unreached
	}
	f.dist[source] = 0
	for queue := []int{source}; len(queue) > 0; {
		u := queue[0]
		queue = queue[1:]
		f.busy[u] = false
		for _, i := range f.out[u] {
			e := f.edges[i]
			d := f.dist[u] + e.cost
			if e.room == 0 || d >= f.dist[e.to] {
				continue
			}
			f.dist[e.to] = d
			if !f.busy[e.to] {
				f.busy[e.to] = true
				queue = append(queue, e.to)
			}
		}
	}
	return f.dist[sink] != unreached
}

// augment pushes up to limit units from u to sink along cheapest paths and
// returns how many it pushed.
func (f *flow) augment(u, sink, limit int) int {
	if u == sink {
		return limit
	}
	f.busy[u] = true
	defer func() { f.busy[u] = false }()
	pushed := 0
	for ; f.tried[u] < len(f.out[u]); f.tried[u]++ {
		i := f.out[u][f.tried[u]]
		e := &f.edges[i]
		if e.room == 0 || f.busy[e.to] || f.dist[e.to] != f.dist[u]+e.cost {
			continue
		}
		n := f.augment(e.to, sink, min(limit-pushed, e.room))
		f.edges[i].room -= n
		f.edges[i^1].room += n
		pushed += n
		if pushed == limit {
			break
		}
	}
	return pushed
}

// used returns the flow from one node to another.
func (f *flow) used(from, to int) int {
	n := 0
	for _, i := range f.out[from] {
		if i%2 == 0 && f.edges[i].to == to {
			n += f.edges[i^1].room
		}
	}
	return n
}

// targets returns the nodes that take a unit which leaves from, in the order in
// which they were linked.
func (f *flow) targets(from int) []int {
	var nodes []int
	for _, i := range f.out[from] {
		if i%2 == 0 && f.edges[i^1].room > 0 {
			nodes = append(nodes, f.edges[i].to)
		}
	}
	return nodes
}

// next returns the node that takes the single unit which leaves from.
func (f *flow) next(from int) int {
	for _, i := range f.out[from] {
		if i%2 == 0 && f.edges[i^1].room > 0 {
			return f.edges[i].to
		}
	}
	panic("assign: a task was left without a member")
}
