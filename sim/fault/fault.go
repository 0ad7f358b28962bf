// Package fault says what may go wrong in a simulated cluster: kinds of
// faults, plans that are plain data, and how a plan is drawn from a seed.
//
// A plan is drawn by swarm: each run picks a subset of the kinds and how many
// faults there are, because a run with all of them at once rarely gets far
// enough to meet the rare ones. A plan can be cut down (Keep) without any
// other part of the run changing its mind: nothing but the plan depends on
// how many faults it has.
package fault

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"
)

// A Kind is what goes wrong. Its numbers are those of docs/simulation.md.
type Kind string

// Kinds of faults.
const (
	CrashPoint     Kind = "F1-crash-point"
	CrashRequest   Kind = "F1-crash-request"
	CrashRestore   Kind = "F2-crash-restore"
	Crash          Kind = "F6-crash"
	CrashEmpty     Kind = "F7-crash-empty-disk"
	Pause          Kind = "F3-pause"
	SlowCode       Kind = "F4-slow-user-code"
	Fleet          Kind = "F5-fleet"
	Panic          Kind = "F9-panic"
	Restart        Kind = "F8-restart"
	Upgrade        Kind = "F8-rolling-upgrade"
	StopCutOff     Kind = "F10-stop-cut-off"
	LoseRequest    Kind = "F11-request-lost"
	LoseResponse   Kind = "F12-response-lost"
	Late           Kind = "F15-delay-past-timeout"
	OneWay         Kind = "F16-one-way-partition"
	Partition      Kind = "F16-partition"
	Clog           Kind = "F17-clog"
	Jumble         Kind = "F17-clog-random-order"
	Slow           Kind = "F15-slow-link"
	CutFrame       Kind = "F18-cut-in-mid-frame"
	Reset          Kind = "F18-reset"
	HalfOpen       Kind = "F16-half-open"
	MoveLeader     Kind = "F19-leader-move"
	MoveCoordinate Kind = "F21-coordinator-move"
	PartialProduce Kind = "F23-partial-produce"
	BrokerError    Kind = "F24-broker-error"
	AfterApply     Kind = "F12-timeout-after-apply"
	TxnTimeout     Kind = "F25-transaction-timeout"
	Compact        Kind = "F26-compaction"
	Tombstones     Kind = "F27-tombstones-expire"
	CutOff         Kind = "F27-cut-off"
	Denied         Kind = "F29-authorization"
	Join           Kind = "F30-join-and-leave"
	Flap           Kind = "F33-flapping"
	PowerLoss      Kind = "F34-power-loss"
	FlipBit        Kind = "F36-bit-flip"
	DiskFull       Kind = "F37-disk-full"
	SyncError      Kind = "F38-sync-error"
	SlowDisk       Kind = "F38-slow-disk"
)

// Kinds lists all kinds.
func Kinds() []Kind {
	return []Kind{
		CrashPoint, CrashRequest, CrashRestore, Crash, CrashEmpty, Pause, SlowCode, Fleet, Panic, Restart, Upgrade, StopCutOff,
		LoseRequest, LoseResponse, Late, OneWay, Partition, Clog, Jumble, Slow, CutFrame, Reset, HalfOpen,
		MoveLeader, MoveCoordinate, PartialProduce, BrokerError, AfterApply, TxnTimeout, Compact, Tombstones, CutOff, Denied,
		Join, Flap, PowerLoss, FlipBit, DiskFull, SyncError, SlowDisk,
	}
}

// A Fault is one thing that goes wrong.
type Fault struct {
	Kind Kind `json:"kind"`
	// At is when it begins, after the start of the run; For how long it
	// lasts, or how long the worker stays down.
	At  time.Duration `json:"at"`
	For time.Duration `json:"for,omitempty"`
	// Node and Broker say where; kinds that need neither ignore them.
	Node   int `json:"node"`
	Broker int `json:"broker"`
	// What is a crash point or the name of a request.
	What string `json:"what,omitempty"`
	// N is a number whose meaning depends on the kind.
	N int `json:"n,omitempty"`
}

func (f Fault) String() string {
	s := fmt.Sprintf("%s at %s", f.Kind, f.At)
	if f.For > 0 {
		s += " for " + f.For.String()
	}
	s += fmt.Sprintf(" node %d broker %d", f.Node, f.Broker)
	if f.What != "" {
		s += " " + f.What
	}
	if f.N != 0 {
		s += fmt.Sprintf(" n=%d", f.N)
	}
	return s
}

// A Plan is what goes wrong in a run, in order of time.
type Plan []Fault

// Kinds returns how many faults of each kind there are.
func (p Plan) Kinds() map[Kind]int {
	m := make(map[Kind]int)
	for _, f := range p {
		m[f.Kind]++
	}
	return m
}

// Keep returns the faults with the given numbers.
func (p Plan) Keep(numbers []int) Plan {
	var kept Plan
	for i, f := range p {
		if slices.Contains(numbers, i) {
			kept = append(kept, f)
		}
	}
	return kept
}

func (p Plan) String() string {
	var lines []string
	for i, f := range p {
		lines = append(lines, fmt.Sprintf("%3d %s", i, f))
	}
	return strings.Join(lines, "\n")
}

// A Space is what a plan is drawn from.
type Space struct {
	Kinds          []Kind
	Nodes, Brokers int
	// Duration is the time in which faults begin and end.
	Duration time.Duration
	// Most is the largest number of faults.
	Most int
	// Points are crash points of the running worker, Restoring those of one
	// that starts, Requests the names of requests.
	Points, Restoring, Requests []string
	// TxnTimeout is the transaction timeout, which some kinds outlast.
	TxnTimeout, Session time.Duration
	// Deletions is how long brokers keep deletions: Tombstones and CutOff
	// outlast it where the run is long enough.
	Deletions time.Duration
}

// Draw draws a plan.
func Draw(rng *rand.Rand, s Space) Plan {
	if len(s.Kinds) == 0 || s.Most == 0 {
		return nil
	}
	var chosen []Kind
	share := 0.1 + 0.6*rng.Float64()
	for _, k := range s.Kinds {
		if rng.Float64() < share {
			chosen = append(chosen, k)
		}
	}
	if len(chosen) == 0 {
		chosen = append(chosen, s.Kinds[rng.IntN(len(s.Kinds))])
	}
	var p Plan
	for range rng.IntN(s.Most) + 1 {
		p = append(p, s.draw(rng, chosen[rng.IntN(len(chosen))]))
	}
	slices.SortStableFunc(p, func(a, b Fault) int { return int(a.At - b.At) })
	return p
}

func (s Space) draw(rng *rand.Rand, k Kind) Fault {
	f := Fault{Kind: k, Node: rng.IntN(s.Nodes), Broker: rng.IntN(s.Brokers), N: rng.IntN(4)}
	f.At = ms(time.Second + time.Duration(rng.Int64N(int64(s.Duration-time.Second))))
	f.For = ms(time.Duration(float64(4*time.Second) * rng.ExpFloat64()))
	pick := func(from []string) string {
		if len(from) == 0 {
			return ""
		}
		return from[rng.IntN(len(from))]
	}
	switch k {
	case CrashPoint:
		f.What = pick(s.Points)
	case CrashRestore:
		f.What = pick(s.Restoring)
	case CrashRequest, LoseRequest, LoseResponse, CutFrame, BrokerError, AfterApply, Late:
		f.What = pick(s.Requests)
	case Pause, TxnTimeout, SlowCode:
		f.For = ms(time.Duration(float64(max(s.TxnTimeout, s.Session)) * (0.5 + 1.5*rng.Float64())))
	case Tombstones, CutOff:
		// Some that are made at the beginning of it expire while it lasts.
		f.For = ms(time.Duration(float64(min(s.Deletions, s.Duration)) * (1.3 + 1.2*rng.Float64())))
		f.At = min(f.At, max(s.Duration-f.For, time.Second))
	default:
	}
	f.For = min(max(f.For, 50*time.Millisecond), 30*time.Second)
	return f
}

func ms(d time.Duration) time.Duration { return d.Round(time.Millisecond) }
