package conformance

import (
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write the tables in docs/conformance.md")

// TestDocs: what docs/conformance.md says that there is, is there.
func TestDocs(t *testing.T) {
	t.Parallel()
	const file = "../docs/conformance.md"
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	page := string(b)
	for _, part := range []struct{ name, text string }{{"suites", suitesTable()}, {"checks", checksTable()}, {"faults", faultsTable()}} {
		begin, end := "<!-- "+part.name+": go test ./conformance -run TestDocs -update -->\n", "<!-- end -->"
		before, rest, ok := strings.Cut(page, begin)
		_, after, ok2 := strings.Cut(rest, end)
		if !ok || !ok2 {
			t.Fatalf("%s has no place for the %s", file, part.name)
		}
		page = before + begin + "\n" + part.text + "\n" + end + after
	}
	switch {
	case page == string(b):
	case *update:
		if err := os.WriteFile(file, []byte(page), 0o600); err != nil {
			t.Fatal(err)
		}
	default:
		t.Errorf("%s is behind the suites: go test ./conformance -run TestDocs -update writes it", file)
	}
	for _, c := range slices.Concat(StoreCapabilities(), TransportCapabilities()) {
		if !strings.Contains(page, "`"+identifier(c)+"` |") {
			t.Errorf("%s says nothing of %s, %q", file, identifier(c), c)
		}
	}
}

// identifier is the name of a capability in Go.
func identifier(c Capability) string {
	names := map[Capability]string{
		Reopens: "Reopens", LocksOut: "LocksOut", Shared: "Shared", SurvivesKill: "SurvivesKill", SurvivesPowerLoss: "SurvivesPowerLoss",
		ReportsFailingDisk: "ReportsFailingDisk", ReportsFullDisk: "ReportsFullDisk", DetectsDamage: "DetectsDamage", HealsDamage: "HealsDamage",
		LosesAnswers: "LosesAnswers", LosesWrites: "LosesWrites", Expels: "Expels", ForeignTransactions: "ForeignTransactions",
		TimesOut: "TimesOut", Compacts: "Compacts", GoesAway: "GoesAway", StaticMembers: "StaticMembers",
	}
	if n := names[c]; n != "" {
		return n
	}
	return "a capability that this test does not know"
}

func suitesTable() string {
	cases := len(ApplicationCases())
	return fmt.Sprintf("| suite | holds | runs |\n|---|---|---|\n"+
		"| `conformance.Store` | a store to its contract, to crashes of process, machine and server, and to a model | %d checks |\n"+
		"| `conformance.StoreFaults` | the suite to finding bugs that are planted around a store | %d bugs |\n"+
		"| `conformance.Transport` | a transport and the cluster behind it | %d checks |\n"+
		"| `conformance.Application` | both together, under the production worker | %d applications × 2 guarantees × %d kinds of trouble |\n",
		len(StoreChecks()), len(storeFaults()), len(TransportChecks()), cases, len(ApplicationRuns(ApplicationFactory{}))/cases/2)
}

// checksTable lists the checks by what their names begin with.
func checksTable() string {
	var b strings.Builder
	b.WriteString("| checks | need |\n|---|---|\n")
	rows := func(suite string, names []string, needs [][]Capability) {
		for from := 0; from < len(names); {
			to := from + 1
			for to < len(names) && group(names[to]) == group(names[from]) && slices.Equal(needs[to], needs[from]) {
				to++
			}
			var need []string
			for _, c := range needs[from] {
				need = append(need, "`"+identifier(c)+"`")
			}
			fmt.Fprintf(&b, "| %s: `%s` | %s |\n", suite, strings.Join(names[from:to], "`, `"), strings.Join(need, ", "))
			from = to
		}
	}
	var names []string
	var needs [][]Capability
	for _, c := range StoreChecks() {
		names, needs = append(names, c.Name), append(needs, c.Needs)
	}
	rows("store", names, needs)
	names, needs = nil, nil
	for _, c := range TransportChecks() {
		names, needs = append(names, c.Name), append(needs, c.Needs)
	}
	rows("transport", names, needs)
	return b.String()
}

func group(name string) string {
	g, _, _ := strings.Cut(name, "/")
	return g
}

func faultsTable() string {
	var b strings.Builder
	b.WriteString("| bug | found by each of |\n|---|---|\n")
	for _, f := range storeFaults() {
		fmt.Fprintf(&b, "| %s | `%s` |\n", f.name, strings.Join(f.by, "`, `"))
	}
	return b.String()
}
