package integration

import (
	"os"
	"strings"
	"testing"
)

// TestUsualImages sees that the images that may be missing are those that make
// integration takes by itself.
func TestUsualImages(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../Makefile")
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{imageVariable: usualKafka, aerospikeImageVariable: usualAerospike}
	for line := range strings.Lines(string(text)) {
		name, image, ok := strings.Cut(line, "?=")
		if name = strings.TrimSpace(name); !ok || want[name] == "" {
			continue
		}
		if image = strings.TrimSpace(image); image != want[name] {
			t.Errorf("the Makefile's %s is %s, not %s", name, image, want[name])
		}
		delete(want, name)
	}
	if len(want) > 0 {
		t.Errorf("the Makefile has no %v", want)
	}
}
