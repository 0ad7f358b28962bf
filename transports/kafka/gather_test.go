package kafka

import (
	"context"
	"errors"
	"fmt"
	"maps"
	goruntime "runtime"
	"slices"
	"sync/atomic"
	"testing"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/weirstream/weir/core/record"
	"github.com/weirstream/weir/runtime"
)

// TestQuestionsAreGathered: what is asked while a question is under way is asked
// once, afterwards, for all.
func TestQuestionsAreGathered(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	asked, answer := make(chan []string), make(chan error)
	l := gatherer[offsetList]{ask: func(_ context.Context, parts []record.TopicPartition) (offsetList, error) {
		var topics []string
		for _, tp := range parts {
			topics = append(topics, tp.Topic)
		}
		asked <- topics
		return offsetList{}, <-answer
	}}
	got := make(chan error)
	get := func(ctx context.Context, topics ...string) {
		var parts []record.TopicPartition
		for _, topic := range topics {
			parts = append(parts, record.TopicPartition{Topic: topic})
		}
		_, err := l.get(ctx, ctx, parts)
		got <- err
	}
	go get(ctx, "first")
	if topics := <-asked; !slices.Equal(topics, []string{"first"}) {
		t.Fatalf("asked for %v", topics)
	}
	const n = 20
	var want []string
	for i := range n {
		want = append(want, fmt.Sprintf("t%02d", i))
		go get(ctx, want[i], "shared")
	}
	// One more does not wait for the answer.
	gone, cancel := context.WithCancel(ctx)
	cancel()
	if _, err := l.get(gone, ctx, []record.TopicPartition{{Topic: "unwanted"}}); !errors.Is(err, context.Canceled) {
		t.Fatalf("a caller that is gone: %v", err)
	}
	for { // all have asked
		l.mu.Lock()
		waiting := len(l.next.parts)
		l.mu.Unlock()
		if waiting == n+2 {
			break
		}
	}
	answer <- nil
	if err := <-got; err != nil {
		t.Fatalf("the first: %v", err)
	}
	if topics := <-asked; !slices.Equal(topics, append([]string{"shared"}, append(want, "unwanted")...)) {
		t.Fatalf("asked for %v", topics)
	}
	broken := errors.New("broken")
	answer <- broken
	for range n {
		if err := <-got; !errors.Is(err, broken) {
			t.Fatalf("an answer of the second question: %v", err)
		}
	}
	// Nobody waits: the next is asked at once.
	go get(ctx, "last")
	if topics := <-asked; !slices.Equal(topics, []string{"last"}) {
		t.Fatalf("asked for %v", topics)
	}
	answer <- nil
	if err := <-got; err != nil {
		t.Fatal(err)
	}
}

// What is the matter with partitions that others asked for at the same time is
// their trouble; what was not answered is asked again, and not taken for none.
func TestFetchedOffsets(t *testing.T) {
	t.Parallel()
	at := "at"
	f := fetchedOffsets{
		tp("in", 0): {Offset: 5, Metadata: &at},
		tp("in", 1): {Offset: -1, ErrorCode: kerr.UnstableOffsetCommit.Code},
		tp("in", 2): {Offset: -1},
	}
	got, err := f.of([]record.TopicPartition{tp("in", 0), tp("in", 2)})
	if want := map[record.TopicPartition]runtime.Offset{tp("in", 0): {At: 5, Metadata: "at"}}; err != nil || !maps.Equal(got, want) {
		t.Errorf("offsets %v, %v, want %v", got, err, want)
	}
	for _, p := range []int32{1, 3} {
		if got, err := f.of([]record.TopicPartition{tp("in", 0), tp("in", p)}); err == nil || !passing(err) || got != nil {
			t.Errorf("partition %d: %v, %v, want an error that passes", p, got, err)
		}
	}
}

// Tasks that open together ask for their offsets together. (franz-go asks for
// those of "in", which the member owns, whenever it gets to it.)
func TestCommittedOffsetsAreGathered(t *testing.T) {
	t.Parallel()
	const n = 12
	l := newLane(t, "lane")
	hold := make(chan struct{})
	var asked atomic.Int64
	l.asked(kmsg.OffsetFetch, func(req kmsg.Request) {
		if req.(*kmsg.OffsetFetchRequest).Groups[0].Topics[0].Topic == "other" { //nolint:forcetypeassert // by its key
			asked.Add(1)
			l.cluster.SleepControl(func() { <-hold })
		}
	})
	answers := make(chan error)
	ask := func(p int32) {
		_, err := l.g.Committed(l.ctx, []record.TopicPartition{tp("other", p)})
		answers <- err
	}
	go ask(0)
	for asked.Load() == 0 && l.ctx.Err() == nil {
		goruntime.Gosched()
	}
	parts := func() int {
		g := &l.g.committed
		g.mu.Lock()
		defer g.mu.Unlock()
		if g.next == nil {
			return 0
		}
		return len(g.next.parts)
	}
	for p := range int32(n) {
		go ask(p)
	}
	for parts() < n && l.ctx.Err() == nil {
		goruntime.Gosched()
	}
	close(hold)
	for range n + 1 {
		if err := <-answers; err != nil {
			t.Fatal(err)
		}
	}
	if got := asked.Load(); got != 2 {
		t.Errorf("%d requests for %d questions, want 2", got, n+1)
	}
}
