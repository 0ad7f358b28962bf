//go:build !wasip1

package app

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/weirstream/weir/core/record"
	"github.com/weirstream/weir/examples/flights/traffic"
	"github.com/weirstream/weir/runtime"
	"github.com/weirstream/weir/runtime/cli"
)

// A comparison counts what was compared and keeps some of what differs.
type comparison struct {
	checked, mismatches int64
	examples            []string
}

// maxExamples bounds what is printed.
const maxExamples = 20

func (c *comparison) wrongf(format string, args ...any) {
	c.mismatches++
	if len(c.examples) < maxExamples {
		c.examples = append(c.examples, fmt.Sprintf(format, args...))
	}
}

// compareMaps compares all entries of what should be and what is.
func compareMaps[K comparable, V comparable](c *comparison, what string, want, got map[K]V, order func(a, b K) int) {
	for _, k := range slices.SortedFunc(maps.Keys(want), order) {
		c.checked++
		switch v, ok := got[k]; {
		case !ok:
			c.wrongf("%s: %v is missing, expected %v", what, k, want[k])
		case v != want[k]:
			c.wrongf("%s: %v is %v, expected %v", what, k, v, want[k])
		}
	}
	for _, k := range slices.SortedFunc(maps.Keys(got), order) {
		if _, ok := want[k]; !ok {
			c.checked++
			c.wrongf("%s: %v should not be there, is %v", what, k, got[k])
		}
	}
}

// compareAll reads everything that the application keeps and has sent,
// committed data only, and compares it.
func compareAll(ctx context.Context, e *cli.Env, tr runtime.Transport, x *traffic.Expectation) (*comparison, error) {
	c := new(comparison)
	origins, err := readTotals(ctx, e, tr, "origin-stats")
	if err != nil {
		return nil, err
	}
	compareMaps(c, "origin-stats", x.Origins, origins, cmp.Compare)
	destinations, err := readTotals(ctx, e, tr, "destination-stats")
	if err != nil {
		return nil, err
	}
	compareMaps(c, "destination-stats", x.Destinations, destinations, cmp.Compare)
	hours, err := readHours(ctx, e, tr)
	if err != nil {
		return nil, err
	}
	compareMaps(c, "origin-hourly", x.Hours, hours, func(a, b traffic.HourOf) int {
		return cmp.Or(cmp.Compare(a.Hour, b.Hour), cmp.Compare(a.Airport, b.Airport))
	})
	airports, err := readPlaces(ctx, e, tr)
	if err != nil {
		return nil, err
	}
	compareMaps(c, "airports", x.Airports, airports, cmp.Compare)
	late, err := readLate(ctx, tr)
	if err != nil {
		return nil, err
	}
	want := make(map[string]int)
	for _, r := range x.Late {
		want[r.String()]++
	}
	c.compareLate(want, late)
	return c, nil
}

// compareLate compares how often each late flight is there.
func (c *comparison) compareLate(want, got map[string]int) {
	for _, k := range slices.Sorted(maps.Keys(want)) {
		c.checked += int64(want[k])
		if got[k] != want[k] {
			c.wrongf("late-flights: %s: there %d times, expected %d", k, got[k], want[k])
		}
	}
	for _, k := range slices.Sorted(maps.Keys(got)) {
		if want[k] == 0 {
			c.checked++
			c.wrongf("late-flights: %s: there %d times, expected none", k, got[k])
		}
	}
}

// readTable reads a table whose values are JSON. A key that is in two
// partitions is an error: it would be counted apart.
func readTable[K comparable, J, V any](ctx context.Context, e *cli.Env, tr runtime.Transport, table string, key func(cli.TableEntry) K, value func(J) V) (map[K]V, error) {
	all := make(map[K]V)
	return all, e.ReadTable(ctx, tr, table, func(en cli.TableEntry) error {
		var j J
		if err := json.Unmarshal(en.Value, &j); err != nil {
			return fmt.Errorf("table %s, key %q: %w", table, en.Key, err)
		}
		k := key(en)
		if _, twice := all[k]; twice {
			return fmt.Errorf("table %s: key %v is in two partitions", table, k)
		}
		all[k] = value(j)
		return nil
	})
}

func plainKey(en cli.TableEntry) string { return string(en.Key) }

func readTotals(ctx context.Context, e *cli.Env, tr runtime.Transport, table string) (map[string]traffic.Totals, error) {
	type stored struct {
		Count      int `json:"count"`
		TotalDelay int `json:"total_delay"`
		MaxDelay   int `json:"max_delay"`
		Late       int `json:"late"`
	}
	return readTable(ctx, e, tr, table, plainKey, func(s stored) traffic.Totals {
		return traffic.Totals{Count: s.Count, Delay: s.TotalDelay, MaxDelay: s.MaxDelay, Late: s.Late}
	})
}

func readHours(ctx context.Context, e *cli.Env, tr runtime.Transport) (map[traffic.HourOf][2]int, error) {
	type stored struct {
		Count      int `json:"count"`
		TotalDelay int `json:"total_delay"`
	}
	return readTable(ctx, e, tr, "origin-hourly", func(en cli.TableEntry) traffic.HourOf {
		return traffic.HourOf{Airport: string(en.Key), Hour: en.Start / 1000}
	}, func(s stored) [2]int { return [2]int{s.Count, s.TotalDelay} })
}

func readPlaces(ctx context.Context, e *cli.Env, tr runtime.Transport) (map[string]traffic.Place, error) {
	type stored struct{ Name, City, State string }
	return readTable(ctx, e, tr, "airports", plainKey, func(s stored) traffic.Place { return traffic.Place(s) })
}

// readLate reads the output topic, every committed record.
func readLate(ctx context.Context, tr runtime.Transport) (map[string]int, error) {
	type stored struct {
		Origin           string `json:"origin"`
		Destination      string `json:"destination"`
		Delay            int    `json:"delay"`
		Distance         int    `json:"distance"`
		OriginCity       string `json:"origin_city"`
		OriginState      string `json:"origin_state"`
		DestinationCity  string `json:"destination_city"`
		DestinationState string `json:"destination_state"`
	}
	late := make(map[string]int)
	return late, cli.ReadTopic(ctx, tr, "late-flights", func(r *record.Record) error {
		var s stored
		if err := json.Unmarshal(r.Value, &s); err != nil {
			return fmt.Errorf("%s at offset %d: %w", r.TP(), r.Offset, err)
		}
		text := traffic.Report{
			Row:  traffic.Row{Flight: traffic.Flight{Origin: s.Origin, Destination: s.Destination, Delay: s.Delay, Distance: s.Distance}, Date: time.UnixMilli(r.Time)},
			From: traffic.Place{City: s.OriginCity, State: s.OriginState}, To: traffic.Place{City: s.DestinationCity, State: s.DestinationState},
		}.String()
		if string(r.Key) != s.Origin {
			text += fmt.Sprintf(" under key %q", r.Key)
		}
		late[text]++
		return nil
	})
}
