package zoo

import (
	"fmt"
	"go/parser"
	"go/token"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
)

// Switch is the environment variable that names the mutant to turn on.
const Switch = "WEIR_SIM_ZOO"

// A Mutant is one bug.
type Mutant struct {
	ID string
	// Bug says what goes wrong, and where it was met in the wild.
	Bug string
	// Trips are the invariants of sim/check of which at least one must break,
	// and no other, see Allows.
	Trips []string
	Edits []Edit
}

// Allows reports whether the mutant may break an invariant: one that it trips, or
// that says a part of the same. S2, S10, S15, S16 and S19 are about output of
// which S1 says all; S13 compares two stores that S6 compares with a log each,
// and a deleted entry that came back (S12) is one that the log does not have.
func (m Mutant) Allows(invariant string) bool {
	says := func(name string) bool { return slices.Contains(m.Trips, name) }
	switch invariant {
	case "S2", "S10", "S15", "S16", "S19":
		return says(invariant) || says("S1")
	case "S12", "S13":
		return says(invariant) || says("S6")
	}
	return says(invariant)
}

// An Edit changes a file. Its New text asks zooOn("ID") and does what Old
// does unless the mutant is on.
type Edit struct {
	// File is relative to the root of the repository.
	File string
	// Old occurs exactly once in the file.
	Old, New string
}

// An Absent row of the list of known bugs has no mutant.
type Absent struct{ ID, Reason string }

// Find returns the mutant of a name.
func Find(id string) (Mutant, error) {
	for _, m := range Mutants() {
		if m.ID == id {
			return m, nil
		}
	}
	return Mutant{}, fmt.Errorf("there is no mutant %q in the zoo", id)
}

// Overlay writes the changed files into dir and returns the replacements for
// the go command's -overlay: all mutants are in one build. It fails when an
// edit does not fit the sources under root, an absolute path.
func Overlay(root, dir string, mutants []Mutant) (map[string]string, error) {
	texts := make(map[string]string)
	for _, m := range mutants {
		for _, e := range m.Edits {
			if err := apply(texts, root, m.ID, e); err != nil {
				return nil, err
			}
		}
	}
	replace := make(map[string]string)
	packages := make(map[string]bool)
	for _, file := range slices.Sorted(maps.Keys(texts)) {
		if err := put(replace, root, dir, file, texts[file]); err != nil {
			return nil, err
		}
		pkg := path.Dir(file)
		if packages[pkg] {
			continue
		}
		packages[pkg] = true
		f, err := parser.ParseFile(token.NewFileSet(), file, texts[file], parser.PackageClauseOnly)
		if err != nil {
			return nil, fmt.Errorf("zoo: %w", err)
		}
		text := fmt.Sprintf("package %s\n\nimport \"os\"\n\nvar zooID = os.Getenv(%q)\n\nfunc zooOn(id string) bool { return zooID == id }\n", f.Name.Name, Switch)
		if err := put(replace, root, dir, path.Join(pkg, "zoo_switch.go"), text); err != nil {
			return nil, err
		}
	}
	return replace, nil
}

func apply(texts map[string]string, root, id string, e Edit) error {
	if _, read := texts[e.File]; !read {
		b, err := os.ReadFile(filepath.Join(root, filepath.FromSlash(e.File)))
		if err != nil {
			return fmt.Errorf("zoo: mutant %s: %w", id, err)
		}
		texts[e.File] = string(b)
	}
	if n := strings.Count(texts[e.File], e.Old); n != 1 {
		return fmt.Errorf("zoo: mutant %s: %s has %d places with the text, want 1; follow the change of the code:\n%s", id, e.File, n, e.Old)
	}
	if !strings.Contains(e.New, fmt.Sprintf("zooOn(%q)", id)) {
		return fmt.Errorf("zoo: mutant %s: the edit of %s does not ask for its switch", id, e.File)
	}
	texts[e.File] = strings.Replace(texts[e.File], e.Old, e.New, 1)
	return nil
}

// put writes a file under dir and notes that it stands for one under root.
func put(replace map[string]string, root, dir, file, text string) error {
	to := filepath.Join(dir, strings.ReplaceAll(file, "/", "_"))
	replace[filepath.Join(root, filepath.FromSlash(file))] = to
	return os.WriteFile(to, []byte(text), 0o600)
}
