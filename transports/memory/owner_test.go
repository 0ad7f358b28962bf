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
	gone map[string]bool
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
	if o.gone[name] {
		return
	}
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

// leaves says that whatever the member has or may yet be given is free.
func (o *owners) leaves(name string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.gone == nil {
		o.gone = make(map[string]bool)
	}
	o.gone[name] = true
	maps.DeleteFunc(o.held, func(_ record.TopicPartition, owner string) bool { return owner == name })
}

// drop says that what the member has is free.
func (o *owners) drop(name string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	maps.DeleteFunc(o.held, func(_ record.TopicPartition, owner string) bool { return owner == name })
}
