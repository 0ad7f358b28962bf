//go:build !wasip1

package app

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"text/tabwriter"
	"time"

	"github.com/weirstream/weir/examples/flights/traffic"
)

// Bounds of the summary.
const (
	summaryLines   = 5
	summaryFlights = 500 // airports with fewer say little
)

// summary prints what the tables tell about air traffic.
func (d *demo) summary(ctx context.Context) error {
	origins, err := readTotals(ctx, d.e, d.tr, "origin-stats")
	if err != nil {
		return err
	}
	airports, err := readPlaces(ctx, d.e, d.tr)
	if err != nil {
		return err
	}
	hours, err := readHours(ctx, d.e, d.tr)
	if err != nil {
		return err
	}
	w := tabwriter.NewWriter(d.e.Out, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintf(w, "\nworst airports by average delay (of those with %d flights or more)\n", summaryFlights)
	fmt.Fprintln(w, "airport\tcity\tflights\taverage\tlate\tmaximum\t")
	for _, name := range worst(origins, summaryFlights, summaryLines) {
		t, at := origins[name], airports[name]
		fmt.Fprintf(w, "%s\t%s, %s\t%d\t%.1f min\t%d%%\t%d min\t\n", name, at.City, at.State, t.Count,
			float64(t.Delay)/float64(t.Count), 100*t.Late/t.Count, t.MaxDelay)
	}
	if err := w.Flush(); err != nil {
		return err
	}
	fmt.Fprintln(w, "\nbusiest hours")
	fmt.Fprintln(w, "hour\tflights\taverage\t")
	byHour := sumHours(hours)
	for _, h := range busiest(byHour, summaryLines) {
		fmt.Fprintf(w, "%s\t%d\t%.1f min\t\n", time.Unix(h, 0).UTC().Format("2006-01-02 15:04"), byHour[h][0],
			float64(byHour[h][1])/float64(byHour[h][0]))
	}
	fmt.Fprintln(w)
	return w.Flush()
}

// worst returns the n airports with the largest average delay.
func worst(of map[string]traffic.Totals, least, n int) []string {
	average := func(t traffic.Totals) float64 { return float64(t.Delay) / float64(t.Count) }
	names := slices.SortedFunc(maps.Keys(of), func(a, b string) int {
		return cmp.Or(cmp.Compare(average(of[b]), average(of[a])), cmp.Compare(a, b))
	})
	names = slices.DeleteFunc(names, func(name string) bool { return of[name].Count < least })
	return names[:min(n, len(names))]
}

// sumHours adds the airports up.
func sumHours(of map[traffic.HourOf][2]int) map[int64][2]int {
	sums := make(map[int64][2]int)
	for h, v := range of {
		s := sums[h.Hour]
		sums[h.Hour] = [2]int{s[0] + v[0], s[1] + v[1]}
	}
	return sums
}

// busiest returns the n hours with the most flights.
func busiest(of map[int64][2]int, n int) []int64 {
	hours := slices.SortedFunc(maps.Keys(of), func(a, b int64) int {
		return cmp.Or(cmp.Compare(of[b][0], of[a][0]), cmp.Compare(a, b))
	})
	return hours[:min(n, len(hours))]
}
