package memory

import (
	"errors"
	"fmt"
)

// A Step is one step of a producer's round.
type Step uint8

// The steps of a round. A transactional round is Begin, Append for each
// partition in order of first appearance, Offsets, End; Abort instead of the
// rest when something failed. An idempotent round has no Begin, End and
// Abort.
const (
	Begin Step = iota
	Append
	Offsets
	End
	Abort
)

func (s Step) String() string {
	return [...]string{"begin", "append", "offsets", "end", "abort"}[s]
}

// An Op is a step of a producer of a Transport, about to be done or done.
type Op struct {
	Step Step
	// Done says that the step took effect and its answer is on the way.
	Done bool
	// TransactionalID is empty for an idempotent producer, and Producer zero.
	TransactionalID string
	Producer        Producer
}

// ErrRefused marks an error of a hook as an answer of the broker: the step
// certainly did nothing.
var ErrRefused = errors.New("memory: the broker refused")

// Fail sets a hook that is called before and after each step of a producer of
// any Transport, so that a test can bring about every outcome. Nil removes it.
//
// An error before the step (op.Done false) keeps the step from happening; one
// after it (op.Done true) loses the answer. The producer cannot tell which of
// the two it was, as with a connection that broke. So either at End is an
// Unknown outcome. Before a step, an error that is ErrRefused or
// runtime.ErrFenced is an answer of the broker instead: Aborted or Fenced.
//
// The hook may call the Broker; it must be safe for concurrent use when
// several producers are.
func (b *Broker) Fail(hook func(op Op) error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.hook = hook
}

// try does a step under the hook.
func (b *Broker) try(op Op, do func() error) error {
	b.mu.Lock()
	hook := b.hook
	b.mu.Unlock()
	if hook == nil {
		return do()
	}
	op.Done = false
	if err := hook(op); err != nil {
		return err
	}
	if err := do(); err != nil {
		return err
	}
	op.Done = true
	if err := hook(op); err != nil {
		return fmt.Errorf("the answer was lost: %v", err) //nolint:errorlint // whatever it is, it is no answer
	}
	return nil
}
