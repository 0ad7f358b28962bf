package fault

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write the table in docs/simulation.md")

// TestDocs: the table in docs/simulation.md is this one.
func TestDocs(t *testing.T) {
	t.Parallel()
	const file, begin, end = "../../docs/simulation.md", "go test ./sim/fault -update -->\n", "<!-- end -->"
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, ok := strings.Cut(string(b), begin)
	table, after, ok2 := strings.Cut(rest, end)
	if !ok || !ok2 {
		t.Fatalf("%s has no place for the table", file)
	}
	want := markdown()
	if *update {
		if err := os.WriteFile(file, []byte(before+begin+want+end+after), 0o600); err != nil {
			t.Fatal(err)
		}
		return
	}
	if table != want {
		t.Errorf("the table of faults in %s is not Table: go test ./sim/fault -update writes it", file)
	}
}

func markdown() string {
	var b strings.Builder
	b.WriteString("\n| | fault | tiers | kinds, and how |\n|---|---|---|---|\n")
	for _, r := range Table() {
		var tiers, how []string
		for _, t := range r.Tiers {
			tiers = append(tiers, string(t))
		}
		for _, k := range r.Kinds {
			how = append(how, "`"+string(k)+"`")
		}
		if r.By != "" {
			how = append(how, r.By)
		}
		fmt.Fprintf(&b, "| F%d | %s | %s | %s |\n", r.Number, r.What, strings.Join(tiers, ", "), strings.Join(how, "; "))
	}
	return b.String() + "\n"
}
