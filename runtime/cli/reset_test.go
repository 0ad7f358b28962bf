package cli

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"path/filepath"
	"strings"
	"testing"

	"github.com/weirstream/weir"
	"github.com/weirstream/weir/core/record"
	"github.com/weirstream/weir/runtime"
	"github.com/weirstream/weir/transports/kafka"
)

// stub is a transport with one internal topic and a group whose members come
// with later looks at it.
type stub struct {
	runtime.Transport

	looks   int
	members []int // at each look
	deleted []string
}

func (s *stub) Topics(context.Context, ...string) (map[string]runtime.TopicInfo, error) {
	return map[string]runtime.TopicInfo{"app-open-changelog": {Partitions: 1}}, nil
}

func (s *stub) DeleteTopic(_ context.Context, name string) error {
	s.deleted = append(s.deleted, name)
	return nil
}

func (s *stub) Close() error { return nil }

func (s *stub) GroupMembers(context.Context, string) ([]kafka.GroupMember, error) {
	n := s.members[min(s.looks, len(s.members)-1)]
	s.looks++
	return make([]kafka.GroupMember, n), nil
}

func (s *stub) GroupOffsets(context.Context, string) (map[record.TopicPartition]int64, error) {
	return nil, nil
}

func (s *stub) DeleteGroup(context.Context, string) error { return nil }

func TestResetLooksAgainAfterTheQuestion(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		members []int
		dry     bool
		deleted int
		refused bool
	}{
		{members: []int{0, 0}, deleted: 1},
		{members: []int{0, 1}, refused: true},
		{members: []int{1}, refused: true},
		{members: []int{1}, dry: true},
	} {
		app := weir.NewApp("app")
		table := weir.NewTable[string, int](app, "open")
		weir.Each(weir.NewTopic[string, int](app, "in").Stream(), "agent", func(weir.Context, int) error { return nil }, weir.Uses(table))
		e := newEnv(app)
		e.Settings.StateDir = filepath.Join(t.TempDir(), "none")
		var out, logs bytes.Buffer
		e.Out, e.screen, e.Log = &out, newScreen(&logs), slog.New(slog.NewTextHandler(&logs, nil))
		s := &stub{members: c.members}
		WithTransport(func(context.Context, *Env) (runtime.Transport, error) { return s, nil })(e)
		err := e.reset(t.Context(), strings.NewReader("app\n"), c.dry, false)
		if errors.Is(err, ErrActive) != c.refused || !c.refused && err != nil || len(s.deleted) != c.deleted {
			t.Errorf("with members %v a reset ends with %v and deletes %v", c.members, err, s.deleted)
		}
		if c.dry && (!strings.Contains(out.String(), "delete topic app-open-changelog") || !strings.Contains(logs.String(), "would be refused")) {
			t.Errorf("a dry run says %q and logs %q", out.String(), logs.String())
		}
	}
}

// A question ends with its context, although nobody answers.
func TestQuestionEndsWithItsContext(t *testing.T) {
	t.Parallel()
	e := threeTables(t)
	e.screen = newScreen(io.Discard)
	in, silent := io.Pipe()
	defer silent.Close()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := e.confirm(ctx, in); err == nil || !strings.Contains(err.Error(), "nothing was deleted") {
		t.Errorf("a question that was broken off gives %v", err)
	}
}
