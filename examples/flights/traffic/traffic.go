// Package traffic is what the flights example says of air traffic: its
// declaration as an application, its input, and what it should come to. The
// command around it is package app. The conformance suite runs it, too.
package traffic

import (
	"time"

	"github.com/weirstream/weir"
)

// A Flight is one flight that took place. Its record's key is the origin and
// its record's time the date of departure.
type Flight struct {
	Origin      string `json:"origin"`
	Destination string `json:"destination"`
	Delay       int    `json:"delay"`    // minutes, negative is early
	Distance    int    `json:"distance"` // miles
}

// Stats sum up the flights of an airport.
type Stats struct {
	Count      int `json:"count"`
	TotalDelay int `json:"total_delay"`
	MaxDelay   int `json:"max_delay"`
	Late       int `json:"late"` // more than 15 minutes
}

// Add returns the stats with one flight more.
func (s Stats) Add(f Flight) Stats {
	if s.Count == 0 || f.Delay > s.MaxDelay {
		s.MaxDelay = f.Delay
	}
	if f.Delay > 15 {
		s.Late++
	}
	s.Count++
	s.TotalDelay += f.Delay
	return s
}

// Hour sums up the flights of an airport in one hour.
type Hour struct {
	Count      int `json:"count"`
	TotalDelay int `json:"total_delay"`
}

// An Airport is an entry of the airports table.
type Airport struct {
	Name  string `json:"name"`
	City  string `json:"city"`
	State string `json:"state"`
}

// A LateFlight is a flight more than an hour late, with where it was from and
// where it went. Places that are not known are empty.
type LateFlight struct {
	Flight
	OriginCity       string `json:"origin_city"`
	OriginState      string `json:"origin_state"`
	DestinationCity  string `json:"destination_city"`
	DestinationState string `json:"destination_state"`
}

// An App is the application with those of its parts that others need.
type App struct {
	*weir.App

	Flights  *weir.Topic[string, Flight]
	Airports *weir.Topic[string, Airport]
}

// Partitions is the number of partitions of the topics of flights.
const Partitions = 4

// New declares the application. The prefix comes before its own name and
// those of its topics, which are flights, airports and late-flights.
func New(prefix string) *App {
	app := weir.NewApp(prefix + "flights")
	a := &App{
		App:      app,
		Flights:  weir.NewTopic[string, Flight](app, prefix+"flights", weir.Partitions(Partitions)),
		Airports: weir.NewTopic[string, Airport](app, prefix+"airports"),
	}
	a.countOrigins()
	a.countDestinations()
	a.reportLate(weir.NewTopic[string, LateFlight](app, prefix+"late-flights", weir.Partitions(Partitions)))
	return a
}

// countOrigins keeps what is known of airports as origins, in all and by the
// hour.
func (a *App) countOrigins() {
	stats := weir.NewTable[string, Stats](a.App, "origin-stats")
	hourly := weir.NewWindowedTable[string, Hour](a.App, "origin-hourly", weir.Tumbling(time.Hour),
		weir.Grace(24*time.Hour), weir.RetainForever())
	weir.Each(a.Flights.Stream(), "count-origins", func(ctx weir.Context, f Flight) error {
		if err := stats.Update(ctx, f.Origin, func(s Stats) Stats { return s.Add(f) }); err != nil {
			return err
		}
		return hourly.Update(ctx, f.Origin, func(h Hour) Hour {
			return Hour{Count: h.Count + 1, TotalDelay: h.TotalDelay + f.Delay}
		})
	}, weir.Uses(stats, hourly))
}

// countDestinations does the same for destinations, which takes a group-by:
// the flights to one airport come from all partitions.
func (a *App) countDestinations() {
	stats := weir.NewTable[string, Stats](a.App, "destination-stats")
	arrivals := weir.GroupBy(a.Flights.Stream(), "by-destination", func(f Flight) string { return f.Destination })
	weir.Each(arrivals, "count-destinations", func(ctx weir.Context, f Flight) error {
		return stats.Update(ctx, f.Destination, func(s Stats) Stats { return s.Add(f) })
	}, weir.Uses(stats))
}

// reportLate sends every flight that is more than an hour late on, with the
// cities and states of both airports.
func (a *App) reportLate(out *weir.Topic[string, LateFlight]) {
	airports := weir.NewGlobalTable(a.App, a.Airports)
	late := weir.Filter(a.Flights.Stream(), "late", func(f Flight) bool { return f.Delay > 60 })
	from := weir.JoinGlobal(late, "origin", airports, func(f Flight) string { return f.Origin },
		func(f Flight, at Airport, _ bool) (LateFlight, bool) {
			return LateFlight{Flight: f, OriginCity: at.City, OriginState: at.State}, true
		})
	to := weir.JoinGlobal(from, "destination", airports, func(f LateFlight) string { return f.Destination },
		func(f LateFlight, at Airport, _ bool) (LateFlight, bool) {
			f.DestinationCity, f.DestinationState = at.City, at.State
			return f, true
		})
	weir.Forward(to, "report-late", out)
}
