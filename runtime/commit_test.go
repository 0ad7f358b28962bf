package runtime

import (
	"errors"
	"fmt"
	"testing"
)

func TestJudge(t *testing.T) {
	t.Parallel()
	fenced, broken := fmt.Errorf("committing offsets: %w", ErrFenced), errors.New("connection reset")
	for _, c := range []struct {
		res  Result
		want Outcome
	}{
		{Result{Outcome: Committed}, Committed},
		{Result{Outcome: Aborted, Err: broken}, Aborted},
		{Result{Outcome: Unknown, Err: broken}, Unknown},
		{Result{Outcome: Fenced, Err: fenced}, Fenced},
		{Result{Outcome: Aborted, Err: fenced}, Fenced},
		// At-least-once: the records are out, the group refused the offsets.
		{Result{Outcome: Unknown, Err: fenced}, Fenced},
	} {
		if got := judge(c.res); got != c.want {
			t.Errorf("%s, %v: judged %s, want %s", c.res.Outcome, c.res.Err, got, c.want)
		}
	}
}
