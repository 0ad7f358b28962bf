package kafka

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/weirstream/weir/core/record"
)

// TestListingsAreGathered: what is asked while a question is under way is asked
// once, afterwards, for all.
func TestListingsAreGathered(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	asked, answer := make(chan []string), make(chan error)
	l := listings{ask: func(_ context.Context, parts []record.TopicPartition) (offsetList, error) {
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
