package app

import (
	"encoding/json"
	"errors"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/weirstream/weir"
	"github.com/weirstream/weir/core/topology"
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
	a := newApplication()
	rows, airports := sample(t)
	cfg := cluster.Config{
		App:        func() *weir.App { return newApplication().App },
		Partitions: topicPartitions,
		Records:    len(rows),
		Load: func(_ *rand.Rand, i int) cluster.Input {
			return cluster.Record(a.flights, rows[i].Origin, rows[i].Flight, rows[i].Date)
		},
		Model: func(in []simcheck.Record) simcheck.Expectation { return a.model(t, in) },
	}
	for _, iata := range slices.Sorted(maps.Keys(airports)) {
		cfg.Before = append(cfg.Before, cluster.Record(a.airports, iata, airports[iata], rows[0].Date))
	}
	if cluster.Seed()%3 == 0 {
		cfg.Guarantee = runtime.AtLeastOnce
	}
	cluster.Run(t, cfg)
}

// sample takes the first flights of the shipped file, and the airports that
// they need but for a few, which stay unknown.
func sample(t *testing.T) ([]row, map[string]Airport) {
	t.Helper()
	enough := errors.New("enough")
	var rows []row
	wanted := make(map[string]bool)
	err := readFlights("", func(r row) error {
		if len(rows) == simFlights {
			return enough
		}
		rows = append(rows, r)
		wanted[r.Origin], wanted[r.Destination] = true, true
		return nil
	})
	if !errors.Is(err, enough) {
		t.Fatalf("reading flights: %v", err)
	}
	airports := make(map[string]Airport)
	err = readAirports("", func(iata string, at Airport) error {
		if wanted[iata] && iata[0] != 'S' {
			airports[iata] = at
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return rows, airports
}

// model is what the committed input must come to.
func (a *application) model(t *testing.T, in []simcheck.Record) simcheck.Expectation {
	t.Helper()
	x := &expectation{
		origins: make(map[string]totals), destinations: make(map[string]totals),
		hours: make(map[hourOf][2]int), airports: make(map[string]place), late: make(map[string]int),
	}
	known := make(map[string]Airport)
	var rows []row
	for _, r := range in {
		switch r.Topic {
		case a.airports.Name():
			at, err := a.airports.DecodeValue(r.Value)
			if err != nil {
				t.Fatal(err)
			}
			known[string(r.Key)] = at
		case a.flights.Name():
			f, err := a.flights.DecodeValue(r.Value)
			if err != nil {
				t.Fatal(err)
			}
			rows = append(rows, row{f, time.UnixMilli(r.Time).UTC()})
		}
	}
	late := make(map[string]int)
	for _, r := range rows {
		x.add(r)
		if r.Delay > 60 {
			from, to := known[r.Origin], known[r.Destination]
			late[simcheck.Pair([]byte(r.Origin), encoded(LateFlight{r.Flight, from.City, from.State, to.City, to.State}))]++
		}
	}
	want := simcheck.Expectation{
		Unordered: map[string]map[string]int{"late-flights": late},
		Tables: map[string]map[string]string{
			"origin-stats": stats(x.origins), "destination-stats": stats(x.destinations), "origin-hourly": make(map[string]string),
		},
	}
	for h, v := range x.hours {
		key := string(topology.AppendWindowStart(nil, h.hour*1000)) + h.airport
		want.Tables["origin-hourly"][key] = string(encoded(Hour{v[0], v[1]}))
	}
	return want
}

func stats(of map[string]totals) map[string]string {
	m := make(map[string]string)
	for k, v := range of {
		m[k] = string(encoded(Stats{v.count, v.delay, v.maxDelay, v.late}))
	}
	return m
}

// encoded is a value as the application's codec writes it.
func encoded(v any) []byte {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return b
}
