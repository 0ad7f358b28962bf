package broker

import (
	"errors"
	"strings"
)

// skipped is how Kafka says that it does not end a transaction in some of its
// partitions.
const skipped = "Couldn't find leader endpoint for partitions"

// SkippedMarkers returns the lines of the brokers' logs in which a coordinator
// of transactions says that it leaves one open.
//
// Kafka, up to 4.3.1 at least, writes the marker that ends a transaction to
// those of its partitions that have a leader at that moment, takes the others
// for deleted, and calls the transaction complete. What it wrote to the others
// is committed never, or by the marker of a later transaction of this producer,
// or aborted by that; meanwhile readers of committed records stop in front of
// it. No answer tells a client of that: a run in which it happened shows nothing
// about weir. It needs partitions without a leader, which one broker has whenever
// it was away, and replicated partitions have only when all replicas in sync are.
func (c *Cluster) SkippedMarkers() ([]string, error) {
	var lines []string
	var errs []error
	for _, n := range c.Nodes {
		text, err := n.Log()
		errs = append(errs, err)
		for line := range strings.Lines(string(text)) {
			if strings.Contains(line, skipped) {
				lines = append(lines, strings.TrimSpace(line))
			}
		}
	}
	return lines, errors.Join(errs...)
}
