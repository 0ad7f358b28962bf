package traffic

import (
	"maps"
	"slices"
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
	x, err := Expect(flights, airports)
	if err != nil {
		t.Fatal(err)
	}
	if x.Flights != 7 {
		t.Errorf("%d flights, want 7", x.Flights)
	}
	check(t, "origins", x.Origins, map[string]Totals{"DEN": {4, 177, 61, 3}, "ORD": {1, 16, 16, 1}, "SFO": {2, 83, 90, 1}})
	check(t, "destinations", x.Destinations, map[string]Totals{"ORD": {1, -5, -5, 0}, "SFO": {2, 122, 61, 2}, "XXX": {2, 150, 90, 2}, "DEN": {2, 9, 16, 1}})
	hour := time.Date(2001, 1, 1, 0, 0, 0, 0, time.UTC).Unix()
	check(t, "hours", x.Hours, map[HourOf][2]int{
		{"DEN", hour}: {3, 117}, {"DEN", hour + 3600}: {1, 60}, {"ORD", hour + 3600}: {1, 16}, {"SFO", hour + 3600}: {2, 83},
	})
	check(t, "airports", x.Airports, map[string]Place{"DEN": {"Denver Intl", "Denver", "CO"}, "SFO": {"San Francisco, Intl", "San Francisco", "CA"}})
	var late []string
	for _, r := range x.Late {
		late = append(late, r.String())
	}
	want := []string{
		"2001-01-01T00:59:00.000 DEN (Denver, CO) to SFO (San Francisco, CA), 61 minutes late, 967 miles",
		"2001-01-01T00:59:00.000 DEN (Denver, CO) to SFO (San Francisco, CA), 61 minutes late, 967 miles",
		"2001-01-01T01:30:00.000 SFO (San Francisco, CA) to XXX (, ), 90 minutes late, 5 miles",
	}
	if !slices.Equal(late, want) {
		t.Errorf("late: got %q, want %q", late, want)
	}
}

func check[K comparable, V comparable](t *testing.T, what string, got, want map[K]V) {
	t.Helper()
	if !maps.Equal(got, want) {
		t.Errorf("%s: got %v, want %v", what, got, want)
	}
}
