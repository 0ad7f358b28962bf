//go:build !wasip1

package app

import (
	"testing"

	"github.com/weirstream/weir/examples/flights/traffic"
)

func TestCompare(t *testing.T) {
	t.Parallel()
	less := func(a, b string) int { return map[bool]int{true: -1, false: 1}[a < b] }
	var c comparison
	compareMaps(&c, "t", map[string]int{"a": 1, "b": 2, "c": 3}, map[string]int{"a": 1, "b": 5, "d": 4}, less)
	if c.checked != 4 || c.mismatches != 3 {
		t.Errorf("checked %d, %d mismatches; want 4 and 3: %q", c.checked, c.mismatches, c.examples)
	}
	c = comparison{}
	c.compareLate(map[string]int{"same": 2, "twice": 1, "lost": 3}, map[string]int{"same": 2, "twice": 2, "invented": 1})
	if c.checked != 7 || c.mismatches != 3 || len(c.examples) != 3 {
		t.Errorf("late: checked %d, %d mismatches; want 7 and 3: %q", c.checked, c.mismatches, c.examples)
	}
	c = comparison{}
	many := make(map[int]int)
	for i := range 100 {
		many[i] = i
	}
	compareMaps(&c, "t", many, nil, func(a, b int) int { return a - b })
	if c.mismatches != 100 || len(c.examples) != maxExamples {
		t.Errorf("%d mismatches and %d examples, want 100 and %d", c.mismatches, len(c.examples), maxExamples)
	}
}

func TestSummaryOrder(t *testing.T) {
	t.Parallel()
	got := worst(map[string]traffic.Totals{"A": {Count: 10, Delay: 100}, "B": {Count: 10, Delay: 200}, "C": {Count: 1, Delay: 900}, "D": {Count: 10, Delay: 100}}, 5, 2)
	if len(got) != 2 || got[0] != "B" || got[1] != "A" {
		t.Errorf("worst airports are %v, want B and A", got)
	}
	hours := sumHours(map[traffic.HourOf][2]int{{Airport: "A"}: {2, 5}, {Airport: "B"}: {3, 5}, {Airport: "A", Hour: 3600}: {4, 1}})
	if hours[0] != [2]int{5, 10} {
		t.Errorf("hour 0 sums up to %v", hours[0])
	}
	if b := busiest(hours, 1); len(b) != 1 || b[0] != 0 {
		t.Errorf("busiest hour is %v, want 0", b)
	}
}
