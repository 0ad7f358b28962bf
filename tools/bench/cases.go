package main

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/weirstream/weir/runtime"
)

const (
	partitions = 4
	valueBytes = 100
)

var keyCounts = []int{10_000, 1_000_000}

const (
	rawConsume = "raw"
	keyedCount = "count"
)

// A benchCase is one line of the table.
type benchCase struct {
	kind      string
	keys      int
	guarantee runtime.Guarantee
	store     string
}

// cases lists the lines, the raw consumer of each topic first.
func cases(stores []string) []benchCase {
	var all []benchCase
	for _, keys := range keyCounts {
		all = append(all, benchCase{kind: rawConsume, keys: keys})
		for _, s := range stores {
			for _, g := range []runtime.Guarantee{runtime.AtLeastOnce, runtime.ExactlyOnce} {
				all = append(all, benchCase{keyedCount, keys, g, s})
			}
		}
	}
	return all
}

func (c benchCase) title() string {
	if c.kind == rawConsume {
		return "franz-go consume"
	}
	return fmt.Sprintf("keyed count, %s, %s", c.guarantee, c.store)
}

func (c benchCase) String() string {
	return fmt.Sprintf("%s:%d:%s:%s", c.kind, c.keys, c.guarantee, c.store)
}

func parseCase(s string) (benchCase, error) {
	parts := strings.Split(s, ":")
	if len(parts) != 4 {
		return benchCase{}, fmt.Errorf("case %q is not kind:keys:guarantee:store", s)
	}
	keys, err := strconv.Atoi(parts[1])
	if err != nil {
		return benchCase{}, fmt.Errorf("case %q: %w", s, err)
	}
	g, err := runtime.ParseGuarantee(parts[2])
	return benchCase{parts[0], keys, g, parts[3]}, err
}

func topicOf(keys int) string { return fmt.Sprintf("bench-%d", keys) }
