package weir_test

import (
	"os"
	"strings"
	"testing"
	"time"

	"github.com/weirstream/weir"
	"github.com/weirstream/weir/sim"
)

type Flight struct {
	Carrier string
	Delay   int
}

type Stats struct{ Count, Delay int }

func (s Stats) Add(delay int) Stats { return Stats{s.Count + 1, s.Delay + delay} }

var (
	app     = weir.NewApp("flights")
	flights = weir.NewTopic[string, Flight](app, "flights")
	delays  = weir.NewWindowedTable[string, Stats](app, "delays", weir.Tumbling(time.Hour), weir.Grace(10*time.Minute))
)

func init() {
	byCarrier := weir.GroupBy(flights.Stream(), "by-carrier", func(f Flight) string { return f.Carrier })
	weir.Each(byCarrier, "delays", func(ctx weir.Context, f Flight) error {
		return delays.Update(ctx, f.Carrier, func(s Stats) Stats { return s.Add(f.Delay) })
	}, weir.Uses(delays))
}

func TestDelays(t *testing.T) {
	noon := time.Date(2001, 1, 1, 12, 0, 0, 0, time.UTC)
	s := sim.New(t, app, sim.Workers(2))
	sim.Send(s, flights, "ATL", Flight{"DL", 12}, sim.At(noon))
	s.Crash(0) // in the middle of whatever it was doing
	sim.Send(s, flights, "JFK", Flight{"DL", 30}, sim.At(noon.Add(time.Minute)))
	s.Settle()
	got := sim.Windows(s, delays)
	if len(got) != 1 || got[0].Value != (Stats{Count: 2, Delay: 42}) {
		t.Errorf("delays are %v", got)
	}
}

// The README shows this file, without its types.
func TestReadmeIsThisFile(t *testing.T) {
	t.Parallel()
	readme, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	source, err := os.ReadFile("readme_test.go")
	if err != nil {
		t.Fatal(err)
	}
	blocks := strings.Split(string(readme), "```")
	shown := 0
	for _, block := range blocks {
		code, ok := strings.CutPrefix(block, "go\n")
		if !ok {
			continue
		}
		shown++
		code = strings.TrimSuffix(strings.TrimSpace(code), "func main() { cli.Main(app) }")
		if !strings.Contains(string(source), strings.TrimSpace(code)) {
			t.Errorf("README.md shows code that is not tested:\n%s", code)
		}
	}
	if shown < 2 {
		t.Errorf("README.md shows %d pieces of code, want the application and its test", shown)
	}
}
