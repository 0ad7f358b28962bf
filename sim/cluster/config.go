package cluster

import (
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/weirstream/weir"
	"github.com/weirstream/weir/runtime"
	"github.com/weirstream/weir/sim/check"
	"github.com/weirstream/weir/sim/fault"
)

// A Config says what to run. App is required.
type Config struct {
	// App makes the application; it is called for each life of a worker, as
	// a process would be started anew.
	App func() *weir.App
	// Workers, Brokers and Partitions of each external topic; defaults 3, 3
	// and 4.
	Workers, Brokers int
	Partitions       int32
	// TopicPartitions overrides Partitions for single topics.
	TopicPartitions map[string]int32
	// Standbys of each task with state; 0 draws none or one from the seed,
	// -1 means none.
	Standbys int
	// Guarantee; the zero value is exactly-once.
	Guarantee runtime.Guarantee
	// Duration is how long faults go on; default 60 s. Input comes all the
	// while.
	Duration time.Duration
	// Records is how many records the workload sends; default 300.
	Records int
	// Load makes the ith record of the workload. It must depend on its
	// arguments alone. Nil sends nothing. Record makes one from typed values.
	Load func(rng *rand.Rand, i int) Input
	// Before is sent before the first worker starts.
	Before []Input
	// Faults are the kinds to draw from; nil takes all that can be here, an
	// empty list none.
	Faults []fault.Kind
	// MostFaults is the largest number of faults in a run; default 12.
	MostFaults int
	// Plan, when set, replaces the plan that would be drawn: for scenarios.
	Plan fault.Plan
	// Seed decides everything; 0 takes WEIR_SIM_SEED or 1.
	Seed uint64
	// Patience is how long the application may take to catch up once all is
	// well; default 2 minutes.
	Patience time.Duration
	// Windows, Model, Receipts, Dead, Sources and Once say what the checkers expect; see
	// check.Subject.
	Model    check.Model
	Receipts string
	Dead     string
	Sources  []string
	Once     []string
	Windows  []check.Windows
	// Panics, when set, is how many times user code shall panic: faults set
	// it, to four at most, and the application takes from it.
	Panics *atomic.Int64
	// Stalls, when set, is for how many nanoseconds user code shall wait:
	// faults set it, the application takes it once.
	Stalls *atomic.Int64
	// Change, when set, changes the configuration of each worker.
	Change func(c *runtime.Config)
}

// validate reports all mistakes at once.
func (c Config) validate() error {
	var errs []error
	need := func(ok bool, what string) {
		if !ok {
			errs = append(errs, errors.New("cluster.Config: "+what))
		}
	}
	need(c.App != nil, "App is required: a function that declares the application, called for each life of a worker")
	need(c.Workers >= 0 && c.Brokers >= 0 && c.Partitions >= 0 && c.Records >= 0 && c.MostFaults >= 0, "numbers must not be negative")
	need(c.Duration >= 0 && c.Patience >= 0, "Duration and Patience must not be negative")
	need(c.Duration == 0 || c.Duration >= time.Second, "Duration must be a second at least: the first fault happens after one")
	need(c.Guarantee <= runtime.AtLeastOnce, "Guarantee must be ExactlyOnce or AtLeastOnce")
	for _, k := range c.Faults {
		need(slices.Contains(fault.Kinds(), k), fmt.Sprintf("there is no fault %q: see fault.Kinds", k))
	}
	for _, f := range c.Plan {
		need(slices.Contains(fault.Kinds(), f.Kind), fmt.Sprintf("Plan: there is no fault %q: see fault.Kinds", f.Kind))
	}
	return errors.Join(errs...)
}

func (c Config) withDefaults() Config {
	def := func(n *int, to int) {
		if *n == 0 {
			*n = to
		}
	}
	def(&c.Workers, 3)
	def(&c.Brokers, 3)
	def(&c.Records, 300)
	if n, err := strconv.Atoi(os.Getenv("WEIR_SIM_RECORDS")); err == nil {
		c.Records = n
	}
	def(&c.MostFaults, 12)
	if c.Partitions == 0 {
		c.Partitions = 4
	}
	if c.Duration == 0 {
		c.Duration = time.Minute
	}
	if c.Patience == 0 {
		c.Patience = 2 * time.Minute
	}
	if c.Faults == nil {
		// What user code does takes user code that does it.
		c.Faults = slices.DeleteFunc(fault.Kinds(), func(k fault.Kind) bool {
			return k == fault.Panic && c.Panics == nil || k == fault.SlowCode && c.Stalls == nil
		})
	}
	if c.Seed == 0 {
		c.Seed = Seed()
	}
	return c
}

// Seed is the seed of this run: WEIR_SIM_SEED, or 1. A test that draws its
// Config draws it from here.
func Seed() uint64 {
	if s, err := strconv.ParseUint(os.Getenv("WEIR_SIM_SEED"), 10, 64); err == nil && s != 0 {
		return s
	}
	return 1
}

// Simulated reports whether the program runs in the simulator (weir sim run),
// where time costs nothing and a seed decides everything. Elsewhere a run
// takes as long as it says and is different each time.
func Simulated() bool { return os.Getenv("WEIR_SIM") != "" }

// SkipUnlessSimulated skips a test that makes no sense elsewhere.
func SkipUnlessSimulated(t testing.TB) {
	t.Helper()
	if !Simulated() {
		t.Skip("runs in the simulator only: make sim, or weir sim run")
	}
}

// keep cuts a plan down as WEIR_SIM_KEEP says.
func keep(t testing.TB, p fault.Plan) fault.Plan {
	t.Helper()
	if kept := numbers(t, "WEIR_SIM_KEEP"); kept != nil {
		return p.Keep(kept)
	}
	return p
}

// numbers reads a variable with numbers, or "none"; nil when it is not set.
func numbers(t testing.TB, name string) []int {
	t.Helper()
	v := os.Getenv(name)
	if v == "" {
		return nil
	}
	list := []int{}
	if v == "none" {
		return list
	}
	for s := range strings.SplitSeq(v, ",") {
		n, err := strconv.Atoi(s)
		if err != nil {
			t.Fatalf("%s=%q: %v", name, v, err)
		}
		list = append(list, n)
	}
	return list
}

// logLevel is what workers log to standard error; more does not change what
// happens.
func logLevel() slog.Level {
	var l slog.Level
	if err := l.UnmarshalText([]byte(os.Getenv("WEIR_SIM_LOG"))); err != nil {
		return slog.LevelError + 4
	}
	return l
}
