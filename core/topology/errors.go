package topology

import (
	"errors"
	"fmt"
	"strings"
)

// ErrInactive marks the use of a Context outside the call it was made for.
var ErrInactive = errors.New("weir: context used outside its agent: tables, topics and timers can be used only while the engine runs the function that got the context; do not keep it or hand it to a goroutine")

// ErrUndeclared marks the use of a table, topic or timer that the declaration
// of the function does not name. Retrying cannot help.
var ErrUndeclared = errors.New("weir: not declared")

// A Problem is one mistake in an application.
type Problem struct {
	// Where names the thing at fault in the user's words: `table "delays"`.
	Where string
	// What is wrong, and Fix what to do about it.
	What, Fix string
}

func (p Problem) String() string {
	if p.Fix == "" {
		return p.Where + ": " + p.What
	}
	return fmt.Sprintf("%s: %s; %s", p.Where, p.What, p.Fix)
}

// An Error is every mistake that Build found.
type Error struct {
	App      string
	Problems []Problem
}

func (e *Error) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "application %q has %d mistake", e.App, len(e.Problems))
	if len(e.Problems) != 1 {
		b.WriteByte('s')
	}
	for _, p := range e.Problems {
		b.WriteString("\n  - ")
		b.WriteString(p.String())
	}
	return b.String()
}
