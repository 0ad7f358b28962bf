package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/spf13/cobra"
	"github.com/weirstream/weir/sim/check"
	"github.com/weirstream/weir/sim/timeline"
)

// checkFlags are the flags of check.
type checkFlags struct {
	exactly, atLeast bool
	subject          check.Subject
	within           time.Duration
	timeline         bool
	html             string
}

func newCheck() *cobra.Command {
	f := &checkFlags{}
	cmd := &cobra.Command{
		Use:   "check HISTORY",
		Short: "Check what weir promises on a recorded history",
		Long: `Read a history of package sim/check, one event of JSON a line, and check the
invariants on it, whether it was recorded in the simulator or on a real cluster.
The exit status is 1 when one is broken.

Invariants that need a model of the application can only be checked by a
program that has one: call check.All with a check.Subject. What was not checked
is listed, with the reason.`,
		Args: cobra.ExactArgs(1),
		RunE: f.run,
	}
	fs := cmd.Flags()
	fs.BoolVar(&f.exactly, "exactly-once", false, "the application ran exactly-once (the default)")
	fs.BoolVar(&f.atLeast, "at-least-once", false, "the application ran at-least-once")
	fs.StringVar(&f.subject.Receipts, "receipts", "", "topic to which the application copies every record of its sources")
	fs.StringVar(&f.subject.Dead, "dead", "", "topic of dead letters")
	fs.StringSliceVar(&f.subject.Sources, "sources", nil, "sources of which there are receipts; none means all")
	fs.StringSliceVar(&f.subject.Once, "once", nil, "topics on which no record may appear twice: what windows and timers send")
	fs.DurationVar(&f.within, "within", 2*time.Minute, "how long catching up and stopping may take")
	fs.BoolVar(&f.timeline, "timeline", false, "print workers by time")
	fs.StringVar(&f.html, "html", "", "write the timeline to this file, as one HTML page")
	cmd.MarkFlagsMutuallyExclusive("exactly-once", "at-least-once")
	return cmd
}

func (f *checkFlags) run(cmd *cobra.Command, args []string) error {
	in, err := os.Open(args[0])
	if err != nil {
		return err
	}
	h, err := check.Read(in)
	if err = errors.Join(err, in.Close()); err != nil {
		return fmt.Errorf("%s: %w", args[0], err)
	}
	if len(h.Events) == 0 {
		return fmt.Errorf("%s: there is no event in it", args[0])
	}
	f.subject.Exactly, f.subject.Within = !f.atLeast, f.within.Milliseconds()
	vs := check.All(h, f.subject)
	out := cmd.OutOrStdout()
	tl := timeline.New(h, nil)
	if f.timeline {
		if err := tl.Text(out, 0); err != nil {
			return err
		}
	}
	if tl.Violations = vs; f.html != "" {
		if err := writeTo(f.html, func(w io.Writer) error { return tl.HTML(w, args[0]) }); err != nil {
			return err
		}
	}
	return verdict(out, h, f.subject, vs)
}

// verdict prints what was checked and what was found.
func verdict(out io.Writer, h *check.History, s check.Subject, vs []check.Violation) error {
	checked := 0
	for _, in := range check.Invariants() {
		if why := unchecked(h, s, in); why != "" {
			fmt.Fprintf(out, "not checked: %s (%s): %s\n", in.Name, in.Says, why)
			continue
		}
		checked++
	}
	for _, v := range vs {
		fmt.Fprintf(out, "BROKEN %s\n", v)
	}
	fmt.Fprintf(out, "%d events, %d invariants checked, %d violations\n", len(h.Events), checked, len(vs))
	if len(vs) > 0 {
		return exitError(1)
	}
	return nil
}

// unchecked says why an invariant is not checked on a history, or nothing.
func unchecked(h *check.History, s check.Subject, in check.Invariant) string {
	if in.Exactly && !s.Exactly {
		return "it is promised with exactly-once only"
	}
	switch in.Name {
	case "S1", "S2":
		if s.Model == nil {
			return "it needs a model of the application"
		}
	case "S10", "S19":
		if s.Receipts == "" {
			return "it needs --receipts"
		}
	case "S15":
		if len(s.Windows) == 0 {
			return "it needs a description of the windows: check.Subject.Windows"
		}
	case "S16":
		if len(s.Once) == 0 {
			return "it needs --once"
		}
	case "L1":
		return lacks(h, check.Healed)
	case "L2":
		return lacks(h, check.GroupIs)
	case "L4":
		return lacks(h, check.LogIs)
	}
	return ""
}

// lacks says that a history has no event of a kind, if so.
func lacks(h *check.History, k check.Kind) string {
	for i := range h.Events {
		if h.Events[i].Kind == k {
			return ""
		}
	}
	return fmt.Sprintf("the history has no event %q", k)
}

// writeTo makes a file.
func writeTo(name string, write func(io.Writer) error) error {
	f, err := os.Create(name)
	if err != nil {
		return err
	}
	return errors.Join(write(f), f.Close())
}
