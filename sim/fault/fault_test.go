package fault

import (
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
)

func space() Space {
	return Space{Kinds: Kinds(), Nodes: 3, Brokers: 3, Duration: 30 * time.Second, Most: 12, Points: []string{"a", "b"},
		Restoring: []string{"c"}, Requests: []string{"Produce", "EndTxn"}, TxnTimeout: 10 * time.Second, Session: 6 * time.Second, Deletions: 8 * time.Second}
}

func draw(seed uint64) Plan { return Draw(rand.New(rand.NewPCG(seed, 1)), space()) }

func TestPlansFollowFromTheSeed(t *testing.T) {
	t.Parallel()
	seen, lengths := make(map[Kind]int), make(map[int]bool)
	for seed := range uint64(400) {
		p := draw(seed)
		if !reflect.DeepEqual(p, draw(seed)) {
			t.Fatalf("seed %d gave two plans", seed)
		}
		lengths[len(p)] = true
		for i, f := range p {
			seen[f.Kind]++
			if f.At < time.Second || f.At > space().Duration || f.Node > 2 || f.Broker > 2 || f.For <= 0 {
				t.Errorf("seed %d: %v is out of range", seed, f)
			}
			if i > 0 && f.At < p[i-1].At {
				t.Errorf("seed %d is out of order", seed)
			}
		}
	}
	for _, k := range Kinds() {
		if seen[k] == 0 {
			t.Errorf("%s was never drawn", k)
		}
	}
	if len(lengths) != space().Most {
		t.Errorf("plans have %d lengths, want %d", len(lengths), space().Most)
	}
}

func TestKeep(t *testing.T) {
	t.Parallel()
	var p Plan
	for seed := uint64(1); len(p) < 3; seed++ {
		p = draw(seed)
	}
	if k := p.Keep([]int{0, 2}); len(k) != 2 || k[0] != p[0] || k[1] != p[2] {
		t.Errorf("kept %v of %v", k, p)
	}
}

func TestTableIsWhole(t *testing.T) {
	t.Parallel()
	rows := Table()
	covered := make(map[Kind]bool)
	for i, r := range rows {
		if r.Number != i+1 || r.What == "" || len(r.Tiers) == 0 {
			t.Errorf("row %d is %+v", i+1, r)
		}
		for _, k := range r.Kinds {
			covered[k] = true
			if !strings.HasPrefix(string(k), fmt.Sprintf("F%d-", r.Number)) {
				t.Errorf("%s stands in row F%d", k, r.Number)
			}
		}
		if slices.Contains(r.Tiers, Cluster) && len(r.Kinds) == 0 && r.By == "" {
			t.Errorf("F%d is said to be covered by the cluster tier, but by nothing", r.Number)
		}
	}
	if len(rows) != 40 {
		t.Errorf("%d rows, want 40", len(rows))
	}
	for _, k := range Kinds() {
		if !covered[k] {
			t.Errorf("%s is in no row", k)
		}
	}
}
