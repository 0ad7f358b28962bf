package app

import (
	"fmt"
	"time"
)

// What the application should come to, computed from the files alone in one
// plain pass. Nothing here is shared with the application but the reading of
// the files.

// totals are what is expected of an airport.
type totals struct{ count, delay, maxDelay, late int }

// hourOf names one hour of one airport.
type hourOf struct {
	airport string
	hour    int64 // its start, in Unix seconds
}

// place is where an airport is.
type place struct{ name, city, state string }

// An expectation is the right result.
type expectation struct {
	flights      int64
	origins      map[string]totals
	destinations map[string]totals
	hours        map[hourOf][2]int // flights, delay
	airports     map[string]place
	// late counts the late flights that look the same.
	late map[string]int
}

// expect computes the expectation of two files.
func expect(flights, airports string) (*expectation, error) {
	x := &expectation{
		origins: make(map[string]totals), destinations: make(map[string]totals),
		hours: make(map[hourOf][2]int), airports: make(map[string]place), late: make(map[string]int),
	}
	err := readAirports(airports, func(iata string, a Airport) error {
		x.airports[iata] = place{a.Name, a.City, a.State}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return x, readFlights(flights, func(r row) error {
		x.add(r)
		return nil
	})
}

func (x *expectation) add(r row) {
	x.flights++
	for _, side := range []struct {
		of   map[string]totals
		name string
	}{{x.origins, r.Origin}, {x.destinations, r.Destination}} {
		t, seen := side.of[side.name]
		if !seen {
			t.maxDelay = r.Delay
		}
		t.count, t.delay, t.maxDelay = t.count+1, t.delay+r.Delay, max(t.maxDelay, r.Delay)
		if r.Delay > 15 {
			t.late++
		}
		side.of[side.name] = t
	}
	seconds := r.Date.Unix()
	h := hourOf{r.Origin, seconds - seconds%3600}
	was := x.hours[h]
	x.hours[h] = [2]int{was[0] + 1, was[1] + r.Delay}
	if r.Delay > 60 {
		from, to := x.airports[r.Origin], x.airports[r.Destination]
		x.late[lateText(r.Date, r.Origin, r.Destination, r.Delay, r.Distance, from, to)]++
	}
}

// lateText writes a late flight with everything that is known of it.
func lateText(date time.Time, origin, destination string, delay, distance int, from, to place) string {
	return fmt.Sprintf("%s %s (%s, %s) to %s (%s, %s), %d minutes late, %d miles", date.UTC().Format("2006-01-02T15:04:05.000"),
		origin, from.city, from.state, destination, to.city, to.state, delay, distance)
}
