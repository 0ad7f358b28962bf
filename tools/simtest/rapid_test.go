package simtest

import (
	"bytes"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

// user is a module with tests of several kinds, one of which uses rapid and
// fails for a few inputs.
var user = map[string]string{
	"go.mod": "module example.com/user\n\ngo 1.26\n\nrequire pgregory.net/rapid v1.3.0\n",
	"plain/plain_test.go": `package plain

import "testing"

func TestPlain(t *testing.T) {}
`,
	"props/props_test.go": `package props

import (
	"fmt"
	"os"
	"testing"

	"pgregory.net/rapid"
)

func TestProperty(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		xs := rapid.SliceOf(rapid.IntRange(0, 99)).Draw(t, "xs")
		for i := range xs {
			if i > 0 && xs[i] == xs[i-1]+7 {
				t.Fatalf("seven apart: %v", xs)
			}
		}
	})
}

func TestTable(t *testing.T) {
	t.Run("env", func(t *testing.T) { fmt.Println("mine", os.Getenv("MINE"), os.Getenv("USER")) })
	t.Run("fails", func(t *testing.T) { t.Fatal("as it should") })
}

func Example() {
	fmt.Println("ok")
	// Output: ok
}
`,
}

func userModule(t *testing.T) {
	t.Helper()
	dir := t.TempDir()
	for name, text := range user {
		file := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	sums, err := os.ReadFile("../../go.sum")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "go.sum"), sums, 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("GOWORK", "off")
	t.Chdir(dir)
}

// TestAnyModule runs the tests of a module that knows nothing of weir.
func TestAnyModule(t *testing.T) {
	if testing.Short() {
		t.Skip("compiles for the simulator, which takes a while: not with -short")
	}
	userModule(t)
	pkgs, err := Packages(t.Context(), nil, os.Stderr)
	if err != nil {
		t.Fatal(err)
	}
	if len(pkgs) != 2 || pkgs[0].Path != "example.com/user/plain" || pkgs[0].Rapid || !pkgs[1].Rapid {
		t.Fatalf("packages: %+v", pkgs)
	}
	if _, err := Packages(t.Context(), []string{"./none"}, os.Stderr); err == nil {
		t.Error("a package that is not there was found")
	}
	target, err := Load(t.Context(), pkgs[1], Options{Stderr: os.Stderr})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = target.Close(t.Context()) })
	if want := []string{"TestProperty", "TestTable", "Example"}; !slices.Equal(target.Tests, want) {
		t.Errorf("tests %v, want %v", target.Tests, want)
	}
	t.Run("properties", func(t *testing.T) { properties(t, target) })
	t.Run("others", func(t *testing.T) {
		o := target.Run(t.Context(), Case{Seed: 1, Test: "TestTable", Env: []string{"MINE=yes"}})
		if o.OK() || o.Signature() != "test TestTable/fails" || !bytes.Contains(o.Printed, []byte("mine yes \n")) {
			t.Errorf("signature %q: %s", o.Signature(), o.Printed)
		}
		if o := target.Run(t.Context(), Case{Seed: 1, Test: "Example"}); !o.OK() {
			t.Errorf("the example fails: %s", o.Printed)
		}
	})
}

// properties: each seed has cases of its own, and a failure comes back.
func properties(t *testing.T, target *Target) {
	failed, passed := make(map[string]bool), 0
	for seed := range uint64(12) {
		c := Case{Seed: seed, Test: "TestProperty", Checks: 30}
		a, b := target.Run(t.Context(), c), target.Run(t.Context(), c)
		if a.Trace != b.Trace || !bytes.Equal(a.Printed, b.Printed) || a.OK() != b.OK() {
			t.Errorf("seed %d differs the second time:\n%s\n%s", seed, a.Printed, b.Printed)
		}
		switch {
		case a.OK():
			passed++
		case a.Signature() != "test TestProperty" || !bytes.Contains(a.Printed, []byte("seven apart")):
			t.Errorf("seed %d: %q\n%s", seed, a.Signature(), a.Printed)
		default:
			failed[string(a.Printed)] = true
		}
	}
	if len(failed) < 2 || passed == 0 {
		t.Errorf("%d failures that differ, %d seeds passed: they are not independent", len(failed), passed)
	}
	_ = fs.WalkDir(os.DirFS("."), ".", func(path string, d fs.DirEntry, _ error) error {
		if d.Name() == "testdata" {
			t.Errorf("%s was left behind", path)
		}
		return nil
	})
}
