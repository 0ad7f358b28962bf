package integration_test

import (
	"context"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/weirstream/weir/integration"
	"github.com/weirstream/weir/integration/chaos"
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
	cmd := exec.CommandContext(ctx, "go", "run", "github.com/weirstream/weir/examples/flights",
		"demo", "--replace", "--kills", "3", "--workers", "2", "--brokers", strings.Join(brokers, ","))
	out, err := cmd.CombinedOutput()
	if err != nil || !strings.Contains(string(out), "kills=3 workers=2") || !strings.Contains(string(out), "mismatches=0\n") {
		t.Fatalf("%v\n%s", err, out)
	}
}

// TestTortureOneBroker kills workers and the one broker that there is.
func TestTortureOneBroker(t *testing.T) { torture(t, 1) }

// TestTortureThreeBrokers kills and stops workers and brokers and cuts the
// network between them.
func TestTortureThreeBrokers(t *testing.T) { torture(t, 3) }

func torture(t *testing.T, nodes int) {
	t.Helper()
	c := integration.Cluster(t, nodes)
	res, err := chaos.Run(t.Context(), chaos.Config{Cluster: c, Loopback: true, Dir: t.TempDir(), For: 40 * time.Second, Rate: 30, Seed: 1, Out: t.Output()})
	if err != nil {
		t.Fatal(err)
	}
	t.Log(res)
	for _, v := range res.Violations {
		t.Error(v)
	}
	if res.Kills+res.BrokerKills+res.Stops+res.Cuts == 0 || res.Records == 0 {
		t.Errorf("nothing happened: %v", res)
	}
	if res.Ended > 0 {
		t.Errorf("%d workers ended by themselves", res.Ended)
	}
}
