//go:build !wasip1

package app

import (
	"maps"
	"testing"
	"time"
)

func TestExpect(t *testing.T) {
	t.Parallel()
	flights := write(t, "f.csv", false, "date,origin,destination,delay,distance",
		"2001-01-01T00:10,DEN,ORD,-5,888",
		"2001-01-01T00:59,DEN,SFO,61,967",
		"2001-01-01T00:59,DEN,SFO,61,967",
		"2001-01-01T01:00,DEN,XXX,60,1",
		"2001-01-01T01:10,ORD,DEN,16,888",
		"2001-01-01T01:20,SFO,DEN,-7,967",
		"2001-01-01T01:30,SFO,XXX,90,5")
	airports := write(t, "a.csv", false, "iata,name,city,state", "DEN,Denver Intl,Denver,CO", `SFO,"San Francisco, Intl",San Francisco,CA`)
	x, err := expect(flights, airports)
	if err != nil {
		t.Fatal(err)
	}
	if x.flights != 7 {
		t.Errorf("%d flights, want 7", x.flights)
	}
	check(t, "origins", x.origins, map[string]totals{"DEN": {4, 177, 61, 3}, "ORD": {1, 16, 16, 1}, "SFO": {2, 83, 90, 1}})
	check(t, "destinations", x.destinations, map[string]totals{"ORD": {1, -5, -5, 0}, "SFO": {2, 122, 61, 2}, "XXX": {2, 150, 90, 2}, "DEN": {2, 9, 16, 1}})
	hour := time.Date(2001, 1, 1, 0, 0, 0, 0, time.UTC).Unix()
	check(t, "hours", x.hours, map[hourOf][2]int{
		{"DEN", hour}: {3, 117}, {"DEN", hour + 3600}: {1, 60}, {"ORD", hour + 3600}: {1, 16}, {"SFO", hour + 3600}: {2, 83},
	})
	check(t, "airports", x.airports, map[string]place{"DEN": {"Denver Intl", "Denver", "CO"}, "SFO": {"San Francisco, Intl", "San Francisco", "CA"}})
	check(t, "late", x.late, map[string]int{
		"2001-01-01T00:59:00.000 DEN (Denver, CO) to SFO (San Francisco, CA), 61 minutes late, 967 miles": 2,
		"2001-01-01T01:30:00.000 SFO (San Francisco, CA) to XXX (, ), 90 minutes late, 5 miles":           1,
	})
}

func check[K comparable, V comparable](t *testing.T, what string, got, want map[K]V) {
	t.Helper()
	if !maps.Equal(got, want) {
		t.Errorf("%s: got %v, want %v", what, got, want)
	}
}

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
	got := worst(map[string]totals{"A": {10, 100, 0, 0}, "B": {10, 200, 0, 0}, "C": {1, 900, 0, 0}, "D": {10, 100, 0, 0}}, 5, 2)
	if len(got) != 2 || got[0] != "B" || got[1] != "A" {
		t.Errorf("worst airports are %v, want B and A", got)
	}
	hours := sumHours(map[hourOf][2]int{{"A", 0}: {2, 5}, {"B", 0}: {3, 5}, {"A", 3600}: {4, 1}})
	if hours[0] != [2]int{5, 10} {
		t.Errorf("hour 0 sums up to %v", hours[0])
	}
	if b := busiest(hours, 1); len(b) != 1 || b[0] != 0 {
		t.Errorf("busiest hour is %v, want 0", b)
	}
}
