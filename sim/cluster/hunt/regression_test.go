package hunt

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/weirstream/weir/sim/cluster"
	"github.com/weirstream/weir/sim/fault"
)

// A regression is a run that once failed: see sim/testdata/regressions.
type regression struct {
	// Was says what was wrong, Fixed the subject of the commit that mended
	// it.
	Was   string `json:"was"`
	Fixed string `json:"fixed"`
	// Trips is the invariant that broke.
	Trips string `json:"trips"`
	// Seed decides workload, network and settings; Scenario and Plan what
	// runs and what goes wrong, and Seconds how long things do.
	Seed     uint64     `json:"seed"`
	Seconds  int        `json:"seconds"`
	Scenario scenario   `json:"scenario"`
	Plan     fault.Plan `json:"plan"`
}

// regressions reads all of them, in order of their names.
func regressions(t *testing.T) (names []string, all []regression) {
	t.Helper()
	files, err := filepath.Glob("../../testdata/regressions/*.json")
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(files)
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		var r regression
		dec := json.NewDecoder(bytes.NewReader(b))
		dec.DisallowUnknownFields()
		if err := dec.Decode(&r); err != nil {
			t.Fatalf("%s: %v", f, err)
		}
		names, all = append(names, filepath.Base(f)), append(all, r)
	}
	return names, all
}

// TestRegression runs one of them: the one with the number of the seed, over
// and over. So several seeds run each in several orders of goroutines, which
// are the part of a run that no data describes.
func TestRegression(t *testing.T) {
	cluster.SkipUnlessSimulated(t)
	names, all := regressions(t)
	i := int(cluster.Seed() % uint64(len(all)))
	t.Log(names[i])
	cfg := all[i].Scenario.config(t)
	cfg.Seed, cfg.Plan, cfg.Duration = all[i].Seed, all[i].Plan, time.Duration(all[i].Seconds)*time.Second
	cluster.Run(t, cfg)
}

func TestRegressionsAreWhole(t *testing.T) {
	t.Parallel()
	names, all := regressions(t)
	if len(all) == 0 {
		t.Fatal("there are none")
	}
	for i, r := range all {
		if r.Was == "" || r.Fixed == "" || r.Trips == "" || r.Seed == 0 || r.Seconds == 0 || len(r.Plan) == 0 {
			t.Errorf("%s lacks something: %+v", names[i], r)
		}
		for _, f := range r.Plan {
			if !slices.Contains(fault.Kinds(), f.Kind) {
				t.Errorf("%s: there is no fault %q", names[i], f.Kind)
			}
		}
		r.Scenario.config(t)
	}
}
