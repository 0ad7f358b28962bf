package integration_test

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/weirstream/weir/integration"
	"github.com/weirstream/weir/integration/broker"
	"github.com/weirstream/weir/integration/chaos"
)

// Seeds whose first faults of each kind last longer than the four seconds after
// which three brokers miss one of them. The only broker is killed last.
const (
	flightsSeed    = 41
	tortureOne     = 120
	tortureSeveral = 635
)

func TestMain(m *testing.M) {
	chaos.Worker()
	os.Exit(m.Run())
}

// TestFlights kills workers of the flights example on a real Kafka.
func TestFlights(t *testing.T) {
	brokers, _ := integration.Kafka(t)
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	flights(ctx, t, brokers)
}

// TestFlightsThreeBrokers kills workers of the flights example while brokers
// are killed, stopped, cut off from clients and isolated from each other. It
// runs the example again until each of that has happened.
func TestFlightsThreeBrokers(t *testing.T) {
	c := integration.Cluster(t, 3)
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	faults := make(chaos.Faults)
	for seed := uint64(flightsSeed); !t.Failed() && len(faults.Missing(chaos.Kinds(3)[1:])) > 0; seed++ {
		whileHurt(ctx, t, c, seed, faults, func() { flights(ctx, t, c.Brokers()) })
		t.Log(faults)
	}
}

// whileHurt does something while brokers are hurt, and counts the faults.
func whileHurt(ctx context.Context, t *testing.T, c *broker.Cluster, seed uint64, faults chaos.Faults, do func()) {
	t.Helper()
	ctx, stop := context.WithCancel(ctx)
	done := make(chan error, 1)
	go func() {
		cfg := chaos.Config{Cluster: c, For: 30 * time.Second, Pause: 3 * time.Second, Down: 8 * time.Second, Seed: seed, Out: t.Output()}
		f, err := chaos.HurtBrokers(ctx, cfg)
		for k, n := range f {
			faults[k] += n
		}
		done <- err
	}()
	defer func() {
		stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
	}()
	do()
}

// flights runs the demo of the example on brokers: every value is compared.
func flights(ctx context.Context, t *testing.T, brokers []string) {
	t.Helper()
	began := time.Now()
	cmd := exec.CommandContext(ctx, "go", "run", "github.com/weirstream/weir/examples/flights",
		"demo", "--replace", "--kills", "3", "--workers", "2", "--brokers", strings.Join(brokers, ","))
	out, err := cmd.CombinedOutput()
	if err != nil || !strings.Contains(string(out), "kills=3 workers=2") || !strings.Contains(string(out), "mismatches=0\n") {
		t.Fatalf("%v\n%s", err, out)
	}
	t.Logf("the demo took %v", time.Since(began).Round(time.Second))
}

// TestTortureOneBroker kills workers and kills, stops and cuts off the one
// broker that there is.
func TestTortureOneBroker(t *testing.T) { torture(t, 1, tortureOne) }

// TestTortureThreeBrokers kills workers and kills, stops, cuts off and isolates
// brokers.
func TestTortureThreeBrokers(t *testing.T) { torture(t, 3, tortureSeveral) }

// torture does it once more when Kafka left a transaction open, which a broker
// may do that was away: see broker.Cluster.SkippedMarkers.
func torture(t *testing.T, nodes int, seed uint64) {
	t.Helper()
	const most = 4
	for try := 1; ; try++ {
		c := integration.Cluster(t, nodes)
		res, wrong := tortured(t, c, seed, filepath.Join(t.ArtifactDir(), fmt.Sprint("try-", try)))
		t.Log(res)
		if len(wrong) == 0 {
			return
		}
		if len(res.Skipped) == 0 || try == most {
			for _, w := range wrong {
				t.Error(w)
			}
			return
		}
		t.Logf("Kafka left transactions open, so that this run shows nothing of weir:\n%s\nwhat was wrong:\n%s",
			strings.Join(res.Skipped, "\n"), strings.Join(wrong, "\n"))
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	}
}

// tortured runs the torture application once, and says what was wrong.
func tortured(t *testing.T, c *broker.Cluster, seed uint64, dir string) (*chaos.Result, []string) {
	t.Helper()
	if err := os.MkdirAll(dir, 0o750); err != nil {
		t.Fatal(err)
	}
	res, err := chaos.Run(t.Context(), chaos.Config{
		Cluster: c, Loopback: true, Dir: dir, For: 50 * time.Second, Pause: 4 * time.Second, Down: 10 * time.Second,
		Rate: 30, Seed: seed, Out: t.Output(),
	})
	if res == nil {
		t.Fatal(err)
	}
	var wrong []string
	if err != nil {
		wrong = append(wrong, err.Error())
	}
	for _, v := range res.Violations {
		wrong = append(wrong, v.String())
	}
	return res, append(wrong, res.Wrong(chaos.Kinds(len(c.Nodes)))...)
}
