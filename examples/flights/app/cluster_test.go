package app

import (
	"maps"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/weirstream/weir"
	"github.com/weirstream/weir/core/record"
	"github.com/weirstream/weir/examples/flights/traffic"
	"github.com/weirstream/weir/runtime"
	simcheck "github.com/weirstream/weir/sim/check"
	"github.com/weirstream/weir/sim/cluster"
)

// simFlights is how many flights a run has.
const simFlights = 300

// TestCluster runs the application on workers and brokers to which all kinds
// of things happen, and compares every table and all late flights with the
// same plain pass over the input that verify uses. One seed is one run:
//
//	weir sim run ./examples/flights/app --run TestCluster
func TestCluster(t *testing.T) {
	cluster.SkipUnlessSimulated(t)
	a := traffic.New("")
	rows, airports, err := traffic.Sample(simFlights)
	if err != nil {
		t.Fatal(err)
	}
	cfg := cluster.Config{
		App:        func() *weir.App { return traffic.New("").App },
		Partitions: traffic.Partitions,
		Records:    len(rows),
		Load: func(_ *rand.Rand, i int) cluster.Input {
			return cluster.Record(a.Flights, rows[i].Origin, rows[i].Flight, rows[i].Date)
		},
		Model: func(in []simcheck.Record) simcheck.Expectation { return model(t, in) },
	}
	for _, iata := range slices.Sorted(maps.Keys(airports)) {
		cfg.Before = append(cfg.Before, cluster.Record(a.Airports, iata, airports[iata], rows[0].Date))
	}
	if cluster.Seed()%3 == 0 {
		cfg.Guarantee = runtime.AtLeastOnce
	}
	cluster.Run(t, cfg)
}

// model is what the committed input must come to.
func model(t *testing.T, in []simcheck.Record) simcheck.Expectation {
	t.Helper()
	records := make([]record.Record, len(in))
	for i, r := range in {
		records[i] = record.Record{Topic: r.Topic, Key: r.Key, Value: r.Value, Time: r.Time}
	}
	x, err := traffic.ExpectOf(records)
	if err != nil {
		t.Fatal(err)
	}
	late := make(map[string]int)
	for key, values := range x.LateFlights() {
		for _, v := range values {
			late[simcheck.Pair([]byte(key), []byte(v))]++
		}
	}
	return simcheck.Expectation{Unordered: map[string]map[string]int{"late-flights": late}, Tables: x.Tables()}
}
