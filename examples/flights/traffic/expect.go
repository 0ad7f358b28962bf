package traffic

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/weirstream/weir/core/record"
	"github.com/weirstream/weir/core/topology"
)

// What the application should come to, computed from its input alone in one
// plain pass. Nothing here is shared with the application but the form of its
// values.

// Totals are what is expected of an airport.
type Totals struct{ Count, Delay, MaxDelay, Late int }

// An HourOf names one hour of one airport.
type HourOf struct {
	Airport string
	Hour    int64 // its start, in Unix seconds
}

// A Place is where an airport is.
type Place struct{ Name, City, State string }

// A Report is a flight that is reported as late, and what is known of it.
type Report struct {
	Row

	From, To Place
}

// String writes all that somebody who reads the topic can see.
func (r Report) String() string {
	return fmt.Sprintf("%s %s (%s, %s) to %s (%s, %s), %d minutes late, %d miles", r.Date.UTC().Format("2006-01-02T15:04:05.000"),
		r.Origin, r.From.City, r.From.State, r.Destination, r.To.City, r.To.State, r.Delay, r.Distance)
}

// An Expectation is the right result.
type Expectation struct {
	Flights      int64
	Origins      map[string]Totals
	Destinations map[string]Totals
	Hours        map[HourOf][2]int // flights, delay
	Airports     map[string]Place
	Late         []Report // in the order of the input
}

func newExpectation() *Expectation {
	return &Expectation{
		Origins: make(map[string]Totals), Destinations: make(map[string]Totals),
		Hours: make(map[HourOf][2]int), Airports: make(map[string]Place),
	}
}

// Expect computes the expectation of two files, as ReadFlights and
// ReadAirports take them.
func Expect(flights, airports string) (*Expectation, error) {
	x := newExpectation()
	err := ReadAirports(airports, func(iata string, a Airport) error {
		x.Airports[iata] = Place(a)
		return nil
	})
	if err != nil {
		return nil, err
	}
	return x, ReadFlights(flights, func(r Row) error {
		x.add(r)
		return nil
	})
}

// ExpectOf computes the expectation of records of the topics flights and
// airports. All airports are known before the first flight.
func ExpectOf(in []record.Record) (*Expectation, error) {
	x := newExpectation()
	for i := range in {
		if in[i].Topic != "airports" {
			continue
		}
		var at Airport
		if err := json.Unmarshal(in[i].Value, &at); err != nil {
			return nil, fmt.Errorf("airport %s: %w", in[i].Key, err)
		}
		x.Airports[string(in[i].Key)] = Place(at)
	}
	for i := range in {
		if in[i].Topic != "flights" {
			continue
		}
		r := Row{Date: time.UnixMilli(in[i].Time).UTC()}
		if err := json.Unmarshal(in[i].Value, &r.Flight); err != nil {
			return nil, fmt.Errorf("flight %d: %w", i, err)
		}
		x.add(r)
	}
	return x, nil
}

func (x *Expectation) add(r Row) {
	x.Flights++
	addTo(x.Origins, r.Origin, r.Delay)
	addTo(x.Destinations, r.Destination, r.Delay)
	seconds := r.Date.Unix()
	h := HourOf{r.Origin, seconds - seconds%3600}
	was := x.Hours[h]
	x.Hours[h] = [2]int{was[0] + 1, was[1] + r.Delay}
	if r.Delay > 60 {
		x.Late = append(x.Late, Report{r, x.Airports[r.Origin], x.Airports[r.Destination]})
	}
}

func addTo(of map[string]Totals, airport string, delay int) {
	t, seen := of[airport]
	if !seen {
		t.MaxDelay = delay
	}
	t.Count, t.Delay, t.MaxDelay = t.Count+1, t.Delay+delay, max(t.MaxDelay, delay)
	if delay > 15 {
		t.Late++
	}
	of[airport] = t
}

// Tables are the entries of the application's tables as it stores them, by
// table and key.
func (x *Expectation) Tables() map[string]map[string]string {
	stats := func(of map[string]Totals) map[string]string {
		m := make(map[string]string)
		for k, t := range of {
			m[k] = encoded(Stats{t.Count, t.Delay, t.MaxDelay, t.Late})
		}
		return m
	}
	hourly := make(map[string]string)
	for h, v := range x.Hours {
		key := string(topology.AppendWindowStart(nil, h.Hour*1000)) + h.Airport
		hourly[key] = encoded(Hour{v[0], v[1]})
	}
	return map[string]map[string]string{
		"origin-stats": stats(x.Origins), "destination-stats": stats(x.Destinations), "origin-hourly": hourly,
	}
}

// LateFlights are the values of late-flights as the application writes them,
// by key.
func (x *Expectation) LateFlights() map[string][]string {
	m := make(map[string][]string)
	for _, r := range x.Late {
		m[r.Origin] = append(m[r.Origin], encoded(LateFlight{r.Flight, r.From.City, r.From.State, r.To.City, r.To.State}))
	}
	return m
}

// encoded is a value as JSON, the codec of structs.
func encoded(v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err) // numbers and text have a form
	}
	return string(b)
}
