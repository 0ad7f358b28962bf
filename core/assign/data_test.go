package assign_test

import (
	"bytes"
	"slices"
	"testing"

	"github.com/weirstream/weir/core/assign"
)

func TestDataRoundTrip(t *testing.T) {
	t.Parallel()
	d := assign.Data{
		Capabilities: 5,
		Tasks:        []assign.Task{{"b", 7}, {"a", 3}, {"a", 0}, {"a", 3}, {"a", -1}, {"", 1<<31 - 1}},
	}
	got, ok := assign.DecodeData(d.Encode())
	want := []assign.Task{{"", 1<<31 - 1}, {"a", 0}, {"a", 3}, {"b", 7}}
	if !ok || got.Capabilities != 5 || !slices.Equal(got.Tasks, want) {
		t.Fatalf("got %v, %v; want tasks %v and capabilities 5", got, ok, want)
	}
}

func TestDataGolden(t *testing.T) {
	t.Parallel()
	// The bytes are what members of different versions say to each other.
	want := []byte{0xE7, 1, 0, 1, 1, 'a', 2, 1, 2}
	if got := (assign.Data{Tasks: []assign.Task{{"a", 1}, {"a", 3}}}).Encode(); !bytes.Equal(got, want) {
		t.Fatalf("got %x, want %x; members of the last release cannot read this", got, want)
	}
	later := append(slices.Clone(want), "fields of later"...)
	if d, ok := assign.DecodeData(later); !ok || len(d.Tasks) != 2 {
		t.Fatalf("appended fields made it unreadable: %v, %v", d, ok)
	}
}

func TestDataOfOthersIsEmpty(t *testing.T) {
	t.Parallel()
	good := assign.Data{Tasks: []assign.Task{{"a", 1}, {"b", 2}}}.Encode()
	bad := map[string][]byte{
		"nothing":                nil,
		"text":                   []byte(`{"tasks":[]}`),
		"newer":                  {0xE7, 2, 0, 0},
		"too many topologies":    {0xE7, 1, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1},
		"partition out of range": {0xE7, 1, 0, 1, 1, 'a', 1, 0xff, 0xff, 0xff, 0xff, 0xff, 1},
	}
	for i := range good {
		bad["cut "+string(rune('a'+i))] = good[:i]
	}
	for name, b := range bad {
		if d, ok := assign.DecodeData(b); ok || len(d.Tasks) != 0 || d.Capabilities != 0 {
			t.Errorf("%s: got %v, %v; want empty, false", name, d, ok)
		}
	}
}

func FuzzDecodeData(f *testing.F) {
	f.Add([]byte{})
	f.Add(assign.Data{Tasks: []assign.Task{{"a", 0}, {"a", 5}, {"bc", 1}}, Capabilities: 3}.Encode())
	f.Add([]byte{0xE7, 1, 0, 1, 1, 'a', 1, 0xff, 0xff, 0xff, 0xff, 0xff, 1})
	groups := []assign.Group{{Sub: "a", Sources: []string{"a"}}}
	f.Fuzz(func(t *testing.T, b []byte) {
		d, ok := assign.DecodeData(b)
		if !ok && (len(d.Tasks) != 0 || d.Capabilities != 0) {
			t.Fatalf("refused, but gave %v", d)
		}
		canon := d.Encode()
		again, ok := assign.DecodeData(canon)
		if !ok || !bytes.Equal(again.Encode(), canon) {
			t.Fatalf("%v did not survive a round trip: %v, %v", d, again, ok)
		}
		plan := assign.Assign(groups, map[string]int32{"a": 3}, []assign.Member{{ID: "m1", Data: b}, {ID: "m2"}})
		if n := plan.Kept + plan.Warm + plan.Cold; n != 3 {
			t.Fatalf("%d tasks assigned, want 3", n)
		}
	})
}
