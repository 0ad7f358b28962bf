package cli

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/weirstream/weir/core/topology"
	"github.com/weirstream/weir/runtime"
)

func resetCommand() *cobra.Command {
	var dry, yes bool
	cmd := &cobra.Command{
		Use:   "reset",
		Short: "Forget everything the application has done, to start it afresh",
		Long: `Forget everything the application has done: delete its internal topics
(changelogs and repartition topics), the committed offsets of its group, and the
state directory of this machine. The topics that it reads and writes stay, so
what it sent before will be sent again. All workers must be stopped. State
directories on other machines are found to be too old and are rebuilt.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return From(cmd.Context()).reset(cmd.Context(), cmd.InOrStdin(), dry, yes)
		},
	}
	cmd.Flags().BoolVar(&dry, "dry-run", false, "only say what would be deleted")
	cmd.Flags().BoolVar(&yes, "yes", false, "do not ask")
	return cmd
}

// ErrActive is returned by reset while workers run.
var ErrActive = errors.New("the group has active members")

// A resetPlan is what a reset deletes.
type resetPlan struct {
	topics []string
	// others are named like topics of the application but are not in it:
	// those of an earlier version, or of an application whose name begins
	// with this one's. Nobody can tell, so they stay.
	others []string
	group  string
	dir    string
}

func (e *Env) reset(ctx context.Context, in io.Reader, dry, yes bool) error {
	tr, err := e.Connect(ctx)
	if err != nil {
		return err
	}
	defer e.closing("connection", tr.Close)
	groups, err := Groups(tr)
	if err != nil {
		return err
	}
	p, err := e.planReset(ctx, tr, groups)
	if err != nil {
		return err
	}
	active := e.refuseActive(ctx, groups)
	if active != nil && !dry {
		return active
	}
	p.write(e.Out)
	if dry {
		if active != nil {
			e.Log.Warn("a reset would be refused now", "reason", active)
		}
		return nil
	}
	if !yes {
		if err := e.confirm(ctx, in); err != nil {
			return err
		}
		// A worker may have been started while the question stood.
		if err := e.refuseActive(ctx, groups); err != nil {
			return err
		}
	}
	return e.doReset(ctx, tr, groups, p)
}

// planReset looks at what there is.
func (e *Env) planReset(ctx context.Context, tr runtime.Transport, groups GroupAdmin) (resetPlan, error) {
	var p resetPlan
	t, err := e.Topology()
	if err != nil {
		return p, err
	}
	infos, err := tr.Topics(ctx)
	if err != nil {
		return p, err
	}
	for _, name := range sortedKeys(infos) {
		switch topic := t.Topics[name]; {
		case topic != nil && topic.Kind != topology.External:
			p.topics = append(p.topics, name)
		case topology.IsInternal(e.App.Name(), name):
			p.others = append(p.others, name)
		}
	}
	offsets, err := groups.GroupOffsets(ctx, e.App.Name())
	if err != nil {
		return p, err
	}
	if len(offsets) > 0 {
		p.group = e.App.Name()
	}
	if _, err := os.Stat(e.stateDir()); err == nil {
		p.dir = e.stateDir()
	}
	return p, nil
}

func (p *resetPlan) write(w io.Writer) {
	for _, t := range p.topics {
		fmt.Fprintf(w, "delete topic %s\n", t)
	}
	if p.group != "" {
		fmt.Fprintf(w, "delete the committed offsets of group %s\n", p.group)
	}
	if p.dir != "" {
		fmt.Fprintf(w, "delete directory %s\n", p.dir)
	}
	for _, t := range p.others {
		fmt.Fprintf(w, "keep topic %s, which this version of the application does not have; delete it by hand if it is left from an earlier one\n", t)
	}
	if len(p.topics) == 0 && p.group == "" && p.dir == "" {
		fmt.Fprintln(w, "nothing to delete")
	}
}

func (e *Env) refuseActive(ctx context.Context, groups GroupAdmin) error {
	members, err := groups.GroupMembers(ctx, e.App.Name())
	if err != nil {
		return err
	}
	names := make([]string, len(members))
	for i, m := range members {
		names[i] = m.String()
	}
	if len(members) > 0 {
		return fmt.Errorf("%w: %s; stop all workers of %q first (killed ones count until their session times out)",
			ErrActive, strings.Join(names, ", "), e.App.Name())
	}
	return nil
}

// confirm asks, until ctx ends.
func (e *Env) confirm(ctx context.Context, in io.Reader) error {
	fmt.Fprintf(e.screen, "Type the application's name (%s) to go on: ", e.App.Name())
	type reply struct {
		text string
		err  error
	}
	replies := make(chan reply, 1)
	go func() {
		text, err := bufio.NewReader(in).ReadString('\n')
		replies <- reply{text, err}
	}()
	var got reply
	select {
	case got = <-replies:
	case <-ctx.Done():
	}
	if got.err != nil && !errors.Is(got.err, io.EOF) {
		return got.err
	}
	if strings.TrimSpace(got.text) != e.App.Name() {
		return errors.New("not confirmed; nothing was deleted")
	}
	return nil
}

// doReset deletes. The group goes first, because the broker refuses that while
// there are members; a reset that breaks off must be run again before a worker
// starts.
func (e *Env) doReset(ctx context.Context, tr runtime.Transport, groups GroupAdmin, p resetPlan) error {
	if p.dir != "" {
		unlock, err := lockDir(p.dir)
		if err != nil {
			return err
		}
		defer unlock()
	}
	if err := e.delete(ctx, tr, groups, p); err != nil {
		return fmt.Errorf("the reset is not complete, run it again before any worker starts: %w", err)
	}
	return nil
}

func (e *Env) delete(ctx context.Context, tr runtime.Transport, groups GroupAdmin, p resetPlan) error {
	if p.group != "" {
		if err := groups.DeleteGroup(ctx, p.group); err != nil {
			return err
		}
	}
	for _, t := range p.topics {
		if err := tr.DeleteTopic(ctx, t); err != nil {
			return err
		}
	}
	if p.dir != "" {
		return os.RemoveAll(p.dir)
	}
	return nil
}
