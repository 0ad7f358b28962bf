package simtest

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/weirstream/weir/sim/check"
	"github.com/weirstream/weir/sim/fault"
	"github.com/weirstream/weir/tools/simhost"
)

// pass lists what a simulated program sees of the environment.
var pass = []string{
	"GOGC", "GOMEMLIMIT", "GOTRACEBACK",
	"WEIR_SIM_KEEP", "WEIR_SIM_RECORDS", "WEIR_SIM_ONLY", "WEIR_SIM_WITHOUT", "WEIR_SIM_ZOO",
	"WEIR_SIM_LOG", "WEIR_SIM_LOG_FROM", "WEIR_SIM_STACKS", "WEIR_SIM_STATE", "WEIR_SIM_UNTIL",
}

// Environment is the environment of simulated programs, as NAME=value: what is
// allowed of ours, then more.
func Environment(more ...string) []string {
	// Memory is plenty, and collections take time.
	env := map[string]string{"GOGC": "400"}
	for _, name := range pass {
		if v, ok := os.LookupEnv(name); ok {
			env[name] = v
		}
	}
	for _, kv := range more {
		name, value, _ := strings.Cut(kv, "=")
		env[name] = value
	}
	var list []string
	for _, name := range slices.Sorted(maps.Keys(env)) {
		list = append(list, name+"="+env[name])
	}
	return list
}

// A Case is one run of one test.
type Case struct {
	Seed uint64
	Test string
	// Order is another order of goroutines for the same seed, as
	// simhost.Run has it.
	Order uint32
	// Keep are the numbers of the faults to keep; nil keeps all.
	Keep []int
	// Records is the size of the workload; 0 leaves it to the test.
	Records int
	// Only are the numbers of the records of it to send; nil sends all.
	Only []int
	// Env is added to Environment.
	Env []string
	// Checks is the number of cases of each rapid property; 0 leaves it to
	// the test.
	Checks int
	// SimDir, when set, is an empty directory that is /sim to the program.
	SimDir string
	// Output, when set, gets what the program prints, instead of the outcome.
	Output io.Writer
	// Deadline in virtual time and Wall in real time end a run that hangs.
	Deadline, Wall time.Duration
}

// environment is the case as far as it is made of variables.
func (c Case) environment() []string {
	env := slices.Clone(c.Env)
	if c.Keep != nil {
		env = append(env, "WEIR_SIM_KEEP="+Numbers(c.Keep))
	}
	if c.Records > 0 {
		env = append(env, "WEIR_SIM_RECORDS="+strconv.Itoa(c.Records))
	}
	if c.Only != nil {
		env = append(env, "WEIR_SIM_ONLY="+Numbers(c.Only))
	}
	return env
}

// Numbers lists numbers of faults, or of records, as WEIR_SIM_KEEP and
// WEIR_SIM_ONLY have them.
func Numbers(keep []int) string {
	if len(keep) == 0 {
		return "none"
	}
	s := make([]string, len(keep))
	for i, n := range keep {
		s[i] = strconv.Itoa(n)
	}
	return strings.Join(s, ",")
}

// ExitUntil is the exit code of a run of sim/cluster that ended at the event
// that WEIR_SIM_UNTIL names.
const ExitUntil = 77

// A Report is what a run of sim/cluster says about itself.
type Report struct {
	Test       string             `json:"test"`
	Plan       fault.Plan         `json:"plan"`
	Injected   map[fault.Kind]int `json:"injected"`
	Points     map[string]int     `json:"points"`
	Violations []check.Violation  `json:"violations"`
	Sent       int                `json:"sent"`
	// Records is the size of the workload.
	Records int `json:"records"`
	// Kinds are the faults that plans are drawn from, AllPoints the crash
	// points that there are.
	Kinds     []fault.Kind `json:"kinds"`
	AllPoints []string     `json:"allPoints"`
}

// An Outcome is how a case went.
type Outcome struct {
	Case
	simhost.Result

	// Reports has one entry for each run of sim/cluster in the test.
	Reports []Report
	// Err is why the run had to be ended, if it was.
	Err error
	// Printed is what the program printed.
	Printed []byte
	// Took is how long it took in real time.
	Took time.Duration
}

// OK reports whether the test passed.
func (o *Outcome) OK() bool { return o.Err == nil && o.ExitCode == 0 }

// Size is how many events there were: lines of the trace where the program
// writes one, else sleeps, yields and draws.
func (o *Outcome) Size() int64 {
	if o.Lines > 0 {
		return o.Lines
	}
	return o.Events
}

// Faults is how many faults were injected.
func (o *Outcome) Faults() (n int) {
	for _, r := range o.Reports {
		for _, k := range r.Injected {
			n += k
		}
	}
	return n
}

// Broken returns the first run of sim/cluster in which an invariant was
// broken, or nil.
func (o *Outcome) Broken() *Report {
	for i := range o.Reports {
		if len(o.Reports[i].Violations) > 0 {
			return &o.Reports[i]
		}
	}
	return nil
}

// Invariants lists what was broken, each once, in the order of checks.
func (o *Outcome) Invariants() []string {
	var names []string
	if r := o.Broken(); r != nil {
		for _, v := range r.Violations {
			if !slices.Contains(names, v.Invariant) {
				names = append(names, v.Invariant)
			}
		}
	}
	return names
}

var failed = regexp.MustCompile(`(?m)^\s*--- FAIL: (\S+)`)

// Signature says in which way the run failed, such that two failures of one
// cause have the same: the first invariant that is broken, why the run was
// ended, a panic, or the innermost test that failed. It is empty when the
// run passed.
func (o *Outcome) Signature() string {
	switch {
	case o.OK():
		return ""
	case errors.Is(o.Err, simhost.ErrDeadline), errors.Is(o.Err, simhost.ErrWall), errors.Is(o.Err, simhost.ErrSpin):
		return "hang"
	case o.Err != nil:
		return o.Err.Error()
	}
	if names := o.Invariants(); len(names) > 0 {
		return names[0]
	}
	if bytes.Contains(o.Printed, []byte("\npanic: ")) || bytes.Contains(o.Printed, []byte("\nfatal error: ")) {
		return "panic"
	}
	if m := failed.FindAllSubmatch(o.Printed, -1); len(m) > 0 {
		return "test " + string(m[len(m)-1][1])
	}
	return fmt.Sprintf("exit code %d", o.ExitCode)
}

// like says whether the run failed as another one did: by the same signature,
// or first by something else that the other one broke, too.
func (o *Outcome) like(other *Outcome) bool {
	got := o.Signature()
	return got != "" && (got == other.Signature() || slices.Contains(other.Invariants(), got))
}

// Run runs a case. A canceled context is in the outcome's error.
func (t *Target) Run(ctx context.Context, c Case) *Outcome {
	o := &Outcome{Case: c}
	var printed bytes.Buffer
	out := io.Writer(&printed)
	if c.Output != nil {
		out = io.MultiWriter(&printed, c.Output)
	}
	began := time.Now()
	o.Result, o.Err = t.host.Do(ctx, simhost.Run{
		Seed: c.Seed, Order: c.Order, Args: t.args(c), Env: Environment(c.environment()...), Dir: t.Dir,
		Stdout: out, Stderr: out, Deadline: c.Deadline, Wall: c.Wall, SimDir: c.SimDir,
	})
	o.Took, o.Printed = time.Since(began), printed.Bytes()
	for dec := json.NewDecoder(bytes.NewReader(o.Report)); ; {
		var r Report
		if dec.Decode(&r) != nil {
			break
		}
		o.Reports = append(o.Reports, r)
	}
	return o
}

// args are the arguments of the test binary: no cache, and no files that
// would change the next run.
func (t *Target) args(c Case) []string {
	pattern := "^" + regexp.QuoteMeta(c.Test) + "$"
	if t.sub != "" {
		pattern += "/" + t.sub
	}
	args := []string{"-test.timeout=0", "-test.count=1", "-test.v", "-test.run=" + pattern}
	if t.Rapid {
		args = append(args, "-rapid.nofailfile")
		if c.Checks > 0 {
			args = append(args, fmt.Sprintf("-rapid.checks=%d", c.Checks))
		}
	}
	return args
}

// Recorded runs a case again and keeps what it leaves in dir, an absolute
// path: the trace and, for sim/cluster, the history.
func (t *Target) Recorded(ctx context.Context, c Case, dir string) (*Outcome, error) {
	tmp, err := os.MkdirTemp("", "weir-sim-record")
	if err != nil {
		return nil, err
	}
	defer func() { _ = os.RemoveAll(tmp) }()
	c.SimDir = tmp
	c.Env = append(slices.Clone(c.Env), "WEIR_SIM_HISTORY=/sim/history")
	o := t.Run(ctx, c)
	for _, name := range []string{"trace", "history"} {
		b, err := os.ReadFile(filepath.Join(tmp, name))
		if errors.Is(err, os.ErrNotExist) {
			continue
		}
		if err != nil {
			return o, err
		}
		if err := os.WriteFile(filepath.Join(dir, name), b, 0o644); err != nil {
			return o, err
		}
	}
	return o, nil
}
