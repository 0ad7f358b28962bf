package runtime

import (
	"context"
	"errors"
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
	if err != nil {
		return nil, err
	}
	for _, name := range created {
		w.cfg.Logger.Info("created internal topic", "topic", name)
	}
	if len(created) == 0 {
		return infos, nil
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
	var created []string
	for _, want := range internal {
		if _, ok := infos[want.Name]; ok {
			continue
		}
		err := tr.CreateTopic(ctx, want.Name, TopicSpec{Partitions: want.Partitions, Replicas: replicas, Config: want.Config})
		if err != nil && !errors.Is(err, ErrTopicExists) {
			return created, fmt.Errorf("creating topic %q: %w", want.Name, err)
		}
		created = append(created, want.Name)
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
