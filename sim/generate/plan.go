package generate

import (
	"fmt"
	"slices"
	"time"

	"pgregory.net/rapid"
)

// A Plan says what an application is made of.
type Plan struct {
	Partitions int           `json:"partitions"` // of each source
	Sources    int           `json:"sources"`
	Shared     bool          `json:"shared"` // the sources share a table, and so a sub-topology
	Features   []Feature     `json:"features"`
	Grace      time.Duration `json:"grace"`
	Retain     time.Duration `json:"retain"` // negative: forever
	Batch      int           `json:"batch"`
}

// A Feature is one agent of the application, for every source.
type Feature uint8

// Features.
const (
	Counting Feature = iota
	Folding
	Deleting
	Filtering
	Grouping
	Windowing
	Timing
	Failing
	Batching
	Joining
	lastFeature
)

func (f Feature) String() string {
	return [...]string{"count", "fold", "delete", "filter", "group", "window", "timer", "fail", "batch", "join"}[f]
}

// Plans draws plans.
func Plans() *rapid.Generator[Plan] {
	return rapid.Custom(func(t *rapid.T) Plan {
		p := Plan{
			Partitions: 1 + Below(t, 3),
			Sources:    1 + Below(t, 3),
			Shared:     Below(t, 2) == 1,
			Grace:      time.Duration(Below(t, 3)) * 5 * time.Second,
			Retain:     time.Duration(Below(t, 4)-1) * 10 * time.Second,
			Batch:      1 + Below(t, 4),
		}
		for f := range lastFeature {
			if Below(t, 3) == 1 {
				p.Features = append(p.Features, f)
			}
		}
		if len(p.Features) == 0 {
			p.Features = []Feature{Counting}
		}
		return p
	})
}

var flip = rapid.Bool()

// Below draws a number less than n, without rapid's preference for small
// ones: a case must be big to be interesting.
func Below(t *rapid.T, n int) int {
	v := 0
	for m := 1; m < 4*n; m *= 2 {
		v *= 2
		if flip.Draw(t, "") {
			v++
		}
	}
	return v % n
}

// String says what the application is made of.
func (p Plan) String() string {
	return fmt.Sprintf("%d sources (shared %v) of %d partitions, %v, grace %v, retain %v, batches of %d",
		p.Sources, p.Shared, p.Partitions, p.Features, p.Grace, p.Retain, p.Batch)
}

// Has reports whether the application has a feature. Windows and timers with
// a reference need a stream time that has one: that of a single source.
func (p Plan) Has(f Feature) bool {
	if (f == Windowing || f == Timing) && p.Shared && p.Sources > 1 {
		return false
	}
	return slices.Contains(p.Features, f)
}
