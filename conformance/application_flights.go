package conformance

import (
	"encoding/json"
	"maps"
	"slices"

	"github.com/weirstream/weir"
	"github.com/weirstream/weir/core/record"
	"github.com/weirstream/weir/examples/flights/traffic"
)

// flightsCase is the flights example over a part of its data. What it comes to
// is what the example's own verify command compares with.
func flightsCase() ApplicationCase {
	const perPhase = 75
	rows, airports, err := traffic.Sample(4 * perPhase)
	if err != nil {
		panic(err) // the data is compiled in
	}
	var before []record.Record
	for _, iata := range slices.Sorted(maps.Keys(airports)) {
		before = append(before, input("airports", iata, marshaled(airports[iata]), rows[0].Date.UnixMilli()))
	}
	return ApplicationCase{
		Name: "flights", App: "flights", Idempotent: true, Exceeds: countedTwice,
		Topics: map[string]int32{"flights": traffic.Partitions, "airports": 1, "late-flights": traffic.Partitions},
		Build:  func(name func(string) string) *weir.App { return traffic.New(name("")).App },
		Before: before,
		Phases: phases(func(phase int) (rs []record.Record) {
			for _, r := range rows[phase*perPhase : (phase+1)*perPhase] {
				rs = append(rs, input("flights", r.Origin, marshaled(r.Flight), r.Date.UnixMilli()))
			}
			return rs
		}),
		Want: func(in []record.Record) Known {
			x, err := traffic.ExpectOf(in)
			if err != nil {
				panic(err) // it is the input above
			}
			return Known{Topics: map[string]map[string][]string{"late-flights": x.LateFlights()}, Tables: x.Tables()}
		},
	}
}

// countedTwice: an airport has more flights than there were, and more of them
// late, but none that is later than the latest; an hour has more flights.
func countedTwice(_, got, want string) bool {
	var g, w traffic.Stats // an Hour is the first two of it
	if json.Unmarshal([]byte(got), &g) != nil || json.Unmarshal([]byte(want), &w) != nil {
		return false
	}
	return g.Count > w.Count && g.Late >= w.Late && g.MaxDelay == w.MaxDelay
}

// marshaled is a value as JSON.
func marshaled(v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return string(b)
}
