package runtime

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/weirstream/weir/core/topology"
)

// prepare checks the topics of the application against what there is, and
// creates the internal ones that are missing. What does not fit is refused
// with every reason at once: weir never changes a topic that exists.
func (w *Worker) prepare(ctx context.Context) (map[string]TopicInfo, error) {
	infos, err := w.cfg.Transport.Topics(ctx, w.topicNames()...)
	if err != nil {
		return nil, fmt.Errorf("looking at the topics: %w", err)
	}
	created, err := EnsureTopics(ctx, w.cfg.Transport, w.cfg.Topology, infos, w.cfg.Replicas)
	for _, name := range created {
		w.cfg.Logger.Info("created internal topic", "topic", name)
	}
	if err != nil || len(infos) == len(w.cfg.Topology.Topics) {
		return infos, err
	}
	infos, err = w.cfg.Transport.Topics(ctx, w.topicNames()...)
	if err != nil {
		return nil, fmt.Errorf("looking at the topics: %w", err)
	}
	return infos, nil
}

func (w *Worker) topicNames() []string { return slices.Sorted(maps.Keys(w.cfg.Topology.Topics)) }

// EnsureTopics creates the internal topics that are missing and returns their
// names. It fails with a *topology.Error that lists everything that does not
// fit: missing sources, partition counts, cleanup policies.
func EnsureTopics(ctx context.Context, tr Transport, t *topology.Topology, infos map[string]TopicInfo, replicas int16) ([]string, error) {
	actual := make(map[string]int32, len(infos))
	for name, info := range infos {
		actual[name] = info.Partitions
	}
	internal, problems := t.Plan(actual)
	for _, want := range internal {
		if have, ok := infos[want.Name]; ok {
			problems = append(problems, misfits(want, have)...)
		}
	}
	if len(problems) > 0 {
		return nil, &topology.Error{App: t.App, Problems: problems}
	}
	missing := make(map[string]TopicSpec)
	for _, want := range internal {
		if _, ok := infos[want.Name]; !ok {
			missing[want.Name] = TopicSpec{Partitions: want.Partitions, Replicas: replicas, Config: want.Config}
		}
	}
	created, err := tr.CreateTopics(ctx, missing)
	if err != nil {
		return created, fmt.Errorf("creating internal topics: %w", err)
	}
	return created, nil
}

// misfits says why an existing internal topic cannot be used; partition
// counts are the business of Plan.
func misfits(want topology.InternalTopic, have TopicInfo) []topology.Problem {
	var ps []topology.Problem
	where := fmt.Sprintf("topic %q", want.Name)
	const fix = "delete it, or run `reset` to start the application afresh, or change it by hand"
	if got, ok := have.Config["cleanup.policy"]; ok && !samePolicy(got, want.Config["cleanup.policy"]) {
		what := fmt.Sprintf("its cleanup.policy is %q and must be %q", got, want.Config["cleanup.policy"])
		if want.Kind == topology.Changelog {
			what += ": with deletion by age or size, entries that do not change would be lost"
		}
		ps = append(ps, topology.Problem{Where: where, What: what, Fix: fix})
	}
	return ps
}

// samePolicy compares two lists of policies.
func samePolicy(a, b string) bool {
	split := func(s string) []string {
		parts := strings.FieldsFunc(s, func(r rune) bool { return r == ',' || r == ' ' })
		slices.Sort(parts)
		return parts
	}
	return slices.Equal(split(a), split(b))
}
