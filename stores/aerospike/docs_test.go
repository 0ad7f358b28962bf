package aerospike

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write the table in docs/aerospike.md")

// TestDocs: the table of settings in docs/aerospike.md is Settings.
func TestDocs(t *testing.T) {
	t.Parallel()
	const file, begin, end = "../../docs/aerospike.md", "-run TestDocs -update -->\n", "<!-- end -->"
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
		t.Errorf("the table of settings in %s is not Settings: go test ./stores/aerospike -run TestDocs -update writes it", file)
	}
}

func markdown() string {
	var b strings.Builder
	b.WriteString("\n| flag | environment | default | meaning |\n|---|---|---|---|\n")
	for _, s := range Settings() {
		flag, def := "`--"+s.Name+"`", ""
		if s.Secret {
			flag = "none, arguments can be seen by others"
		}
		if s.Default != "" {
			def = "`" + s.Default + "`"
		}
		fmt.Fprintf(&b, "| %s | `%s` | %s | %s |\n", flag, environment(s.Name), def, s.Doc)
	}
	return b.String() + "\n"
}

// TestSettingsAreRead: every setting changes what Configure makes, or is
// refused, so that none is only listed.
func TestSettingsAreRead(t *testing.T) {
	t.Parallel()
	before, err := Configure("flights", defaults())
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range Settings() {
		m := defaults()
		if m[s.Name] == "true" {
			t.Errorf("%s is the default already", s.Name)
		}
		m[s.Name] = "true" // a name, no duration, no number, no file, no host
		c, err := Configure("flights", m)
		if err == nil && fmt.Sprintf("%+v", c) == fmt.Sprintf("%+v", before) {
			t.Errorf("%s does nothing", s.Name)
		}
		if err != nil && !strings.Contains(err.Error(), s.Name) && !strings.Contains(err.Error(), "\"true\"") && !s.Secret {
			t.Errorf("%s: the error does not name it: %v", s.Name, err)
		}
	}
}
