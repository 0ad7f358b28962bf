package memory

import (
	"fmt"
	"maps"
	"sync"

	"github.com/weirstream/weir/core/record"
)

// owners checks that no partition has two owners.
type owners struct {
	mu   sync.Mutex
	held map[record.TopicPartition]string
	n    int
	errs []string
}

func (o *owners) name() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.n++
	return string(rune('a' + o.n - 1))
}

func (o *owners) of(tp record.TopicPartition) string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.held[tp]
}

func (o *owners) take(name string, parts []record.TopicPartition) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, tp := range parts {
		if other := o.held[tp]; other != "" {
			o.errs = append(o.errs, fmt.Sprintf("%v given to %s while %s has it", tp, name, other))
		}
		o.held[tp] = name
	}
}

func (o *owners) give(name string, parts []record.TopicPartition) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, tp := range parts {
		if o.held[tp] == name {
			delete(o.held, tp)
		}
	}
}

func (o *owners) drop(name string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	maps.DeleteFunc(o.held, func(_ record.TopicPartition, owner string) bool { return owner == name })
}
