package conformance

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/weirstream/weir/core/record"
	"github.com/weirstream/weir/runtime"
)

// The capabilities of transports, or rather of what is behind them in a test:
// what the suite can have done to the cluster.
const (
	// Expels: a member can be put out of its group behind its back. Needs
	// TransportPlace.Expel.
	Expels Capability = "expels members"
	// ForeignTransactions: a program that is not the transport under test
	// writes transactions and holds them open. Needs TransportPlace.Begin.
	ForeignTransactions Capability = "foreign transactions"
	// LosesAnswers: the answer to the end of a transaction can be lost, after
	// it took effect and before. Needs TransportPlace.LoseEnd. Stores on a
	// server declare it, too: answers to writes can be lost. Needs
	// StorePlace.LoseAnswer.
	LosesAnswers Capability = "loses answers"
	// TimesOut: the cluster aborts transactions that stay open too long.
	// Needs TransportPlace.ConnectHasty.
	TimesOut Capability = "times transactions out"
	// Compacts: the log cleaner can be run. Needs TransportPlace.Compact.
	Compacts Capability = "compacts"
	// GoesAway: the cluster can be taken away and comes back with what it
	// had. Needs TransportPlace.Stop and Start.
	GoesAway Capability = "goes away and comes back"
	// StaticMembers: a member with an instance ID takes the place of the one
	// that has it (KIP-345).
	StaticMembers Capability = "static members"
)

// TransportCapabilities lists all of them.
func TransportCapabilities() []Capability {
	return []Capability{Expels, ForeignTransactions, LosesAnswers, TimesOut, Compacts, GoesAway, StaticMembers}
}

// A TransportFactory makes clusters.
type TransportFactory struct {
	// Name of the adapter, for messages.
	Name string
	// New makes a cluster, or names one that is shared by all checks. It may
	// use tb's Cleanup and TempDir.
	New func(tb TB) TransportPlace
	// Can lists what New's places can do.
	Can []Capability
	// Differs names checks that the cluster is known to fail, each with the
	// reason. They are skipped, and the suite ends by listing them.
	Differs map[string]string
	// Patience is how long a check may take before it counts as hung.
	// Default: a minute.
	Patience time.Duration
}

// Has reports whether the factory declares a capability.
func (f TransportFactory) Has(c Capability) bool { return slices.Contains(f.Can, c) }

// A TransportPlace is a cluster.
type TransportPlace struct {
	// Connect returns a transport to the cluster that shares nothing with
	// those before, as another process would have. Checks close it.
	Connect func() (runtime.Transport, error)
	// Prefix is put before all names of topics, groups and producers that a
	// check uses. A cluster that others use too needs one of its own for
	// every place.
	Prefix string

	// Expel puts a member out of its group behind its back. The member
	// hears of it when it next speaks to the cluster.
	Expel func(group, memberID string) error
	// Begin opens a transaction, by a client of its own.
	Begin func(transactionalID string) (ForeignTransaction, error)
	// LoseEnd makes the cluster lose its next answer to the end of a
	// transaction, once, after it took effect or instead of it. gone is
	// called when that happens; the answer counts as lost only when the
	// transport gives up on it, so the caller ends its context then. mend
	// undoes it all.
	LoseEnd func(applied bool, gone func()) (mend func())
	// ConnectHasty is Connect; transactions of its producers time out after a
	// second.
	ConnectHasty func() (runtime.Transport, error)
	// Compact runs the log cleaner over a partition, and returns when every
	// key below the last stable offset has one record left, or as close to
	// it as the cluster gets.
	Compact func(tp record.TopicPartition) error
	// Stop takes the cluster away from all its clients and returns; Start
	// brings it back with all that it had.
	Stop, Start func() error
}

// A ForeignTransaction is written by another program. Its methods are for one
// goroutine.
type ForeignTransaction interface {
	// Append appends records; it returns when they are in the log.
	Append(ctx context.Context, recs []record.Record) error
	// Offsets adds offsets of a group, under a membership.
	Offsets(ctx context.Context, group, memberID string, generation int32, offsets map[record.TopicPartition]runtime.Offset) error
	// End commits or aborts it, which is done when it returns.
	End(ctx context.Context, commit bool) error
}

// A TransportCheck is one check of the suite.
type TransportCheck struct {
	Name string
	// Needs are the capabilities without which the check says nothing.
	Needs []Capability
	Run   func(tb TB, f TransportFactory)
}

// TransportChecks returns the suite.
func TransportChecks() []TransportCheck {
	return slices.Concat(topicChecks(), logChecks(), commitChecks(), fetchChecks(), memberChecks(), outageChecks())
}

// transportCheck makes a check of a function over a fixture.
func transportCheck(name string, run func(s *wire), needs ...Capability) TransportCheck {
	return TransportCheck{Name: name, Needs: needs, Run: func(tb TB, f TransportFactory) { run(newWire(tb, f)) }}
}

// Transport runs the suite. Checks run in parallel.
func Transport(t *testing.T, f TransportFactory) {
	t.Helper()
	t.Run("transport", func(t *testing.T) {
		for _, c := range TransportChecks() {
			t.Run(c.Name, func(t *testing.T) {
				t.Parallel()
				for _, need := range c.Needs {
					if !f.Has(need) {
						t.Skipf("%s does not declare %q", f.Name, need)
					}
				}
				if why, ok := f.Differs[c.Name]; ok {
					t.Skipf("%s is known to differ: %s", f.Name, why)
				}
				c.Run(t, f)
			})
		}
	})
	for name := range f.Differs {
		if !slices.ContainsFunc(TransportChecks(), func(c TransportCheck) bool { return c.Name == name }) {
			t.Errorf("%s differs in %q, which is no check", f.Name, name)
		}
	}
	report(t, f.Name, TransportCapabilities(), f.Has, f.Differs)
}

// report lists what an adapter does not declare and where it differs.
func report(t *testing.T, name string, all []Capability, has func(Capability) bool, differs map[string]string) {
	t.Helper()
	var missing []string
	for _, c := range all {
		if !has(c) {
			missing = append(missing, string(c))
		}
	}
	if len(missing) == 0 {
		t.Logf("%s declares every capability", name)
	} else {
		t.Logf("%s does not declare: %s", name, strings.Join(missing, ", "))
	}
	for _, check := range sortedKeys(differs) {
		t.Logf("%s is known to differ in %s: %s", name, check, differs[check])
	}
}
