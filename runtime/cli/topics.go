package cli

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/weirstream/weir/core/topology"
	"github.com/weirstream/weir/runtime"
)

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }

// defaultPartitions is what `topics create` takes for topics that are
// declared without a number.
const defaultPartitions = 4

func topicsCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "topics", Short: "List and create the application's topics"}
	cmd.AddCommand(
		&cobra.Command{
			Use: "list", Short: "List the topics of the application and what there is of them", Args: cobra.NoArgs,
			RunE: func(cmd *cobra.Command, _ []string) error { return From(cmd.Context()).listTopics(cmd.Context()) },
		},
		topicsCreateCommand())
	return cmd
}

func topicsCreateCommand() *cobra.Command {
	var configs []string
	partitions := defaultPartitions
	cmd := &cobra.Command{
		Use:   "create",
		Short: "Create the topics that are missing, internal ones included",
		Long: `Create the topics that are missing, internal ones included.

Topics that exist are never changed. Topics of global tables are created
compacted.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			config, err := parseConfig(configs)
			if err != nil {
				return err
			}
			return From(cmd.Context()).createTopics(cmd.Context(), int32(partitions), config)
		},
	}
	cmd.Flags().Var(number(&partitions, 1), "partitions", "partitions of topics that are declared without a number")
	cmd.Flags().StringArrayVar(&configs, "config", nil, "configuration of the topics of yours, name=value; may be given several times")
	return cmd
}

func parseConfig(list []string) (map[string]string, error) {
	config := make(map[string]string)
	for _, c := range list {
		name, value, ok := strings.Cut(c, "=")
		if !ok || name == "" {
			return nil, fmt.Errorf("--config %q: write name=value", c)
		}
		config[name] = value
	}
	return config, nil
}

func (e *Env) listTopics(ctx context.Context) error {
	t, err := e.Topology()
	if err != nil {
		return err
	}
	tr, err := e.Connect(ctx)
	if err != nil {
		return err
	}
	defer e.closing("connection", tr.Close)
	names := sortedKeys(t.Topics)
	infos, err := tr.Topics(ctx, names...)
	if err != nil {
		return err
	}
	w := tabwriter.NewWriter(e.Out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "TOPIC\tKIND\tPARTITIONS\tREPLICAS\tCLEANUP")
	for _, name := range names {
		in, ok := infos[name]
		if !ok {
			fmt.Fprintf(w, "%s\t%s\tmissing\t\t\n", name, t.Topics[name].Kind)
			continue
		}
		fmt.Fprintf(w, "%s\t%s\t%d\t%d\t%s\n", name, t.Topics[name].Kind, in.Partitions, in.Replicas, in.Config["cleanup.policy"])
	}
	return w.Flush()
}

// createTopics creates what is missing and names it.
func (e *Env) createTopics(ctx context.Context, partitions int32, config map[string]string) error {
	t, err := e.Topology()
	if err != nil {
		return err
	}
	tr, err := e.Connect(ctx)
	if err != nil {
		return err
	}
	defer e.closing("connection", tr.Close)
	created, err := e.CreateExternal(ctx, tr, partitions, config)
	for _, name := range created {
		fmt.Fprintln(e.Out, name)
	}
	if err != nil {
		return err
	}
	infos, err := tr.Topics(ctx, sortedKeys(t.Topics)...)
	if err != nil {
		return err
	}
	created, err = runtime.EnsureTopics(ctx, tr, t, infos, int16(e.Settings.Replicas))
	for _, name := range created {
		fmt.Fprintln(e.Out, name)
	}
	return err
}

// CreateExternal creates those topics of the user that are missing, with the
// configuration given, and returns their names. Topics of global tables are
// compacted unless the configuration says otherwise.
func (e *Env) CreateExternal(ctx context.Context, tr runtime.Transport, partitions int32, config map[string]string) ([]string, error) {
	t, err := e.Topology()
	if err != nil {
		return nil, err
	}
	infos, err := tr.Topics(ctx, t.External()...)
	if err != nil {
		return nil, err
	}
	missing := make(map[string]runtime.TopicSpec)
	for _, name := range t.External() {
		if _, ok := infos[name]; !ok {
			missing[name] = externalSpec(t, t.Topics[name], partitions, int16(e.Settings.Replicas), config)
		}
	}
	created, err := tr.CreateTopics(ctx, missing)
	if err != nil {
		return created, fmt.Errorf("creating topics: %w", err)
	}
	return created, nil
}

func externalSpec(t *topology.Topology, topic *topology.Topic, partitions int32, replicas int16, config map[string]string) runtime.TopicSpec {
	spec := runtime.TopicSpec{Partitions: partitions, Replicas: replicas, Config: make(map[string]string)}
	if topic.Partitions != 0 {
		spec.Partitions = topic.Partitions
	}
	for _, g := range t.Globals {
		if g.Source == topic.Name {
			spec.Config["cleanup.policy"] = "compact"
		}
	}
	for name, value := range config {
		spec.Config[name] = value
	}
	return spec
}
