package task

import (
	"strings"
	"testing"
)

func TestStableStack(t *testing.T) {
	t.Parallel()
	const a = "goroutine 17 [running]:\nmain.f(0xc000123456, {0x1, 0x20})\n\t/src/f.go:12 +0x1d\n"
	const b = "goroutine 904 [running]:\nmain.f(0xc000fedcba, {0x1, 0x20})\n\t/src/f.go:12 +0x1d\n"
	got := stableStack([]byte(a))
	if got != stableStack([]byte(b)) {
		t.Errorf("two runs differ:\n%s\n%s", got, stableStack([]byte(b)))
	}
	for _, want := range []string{"[running]", "main.f(", "/src/f.go:12"} {
		if !strings.Contains(got, want) {
			t.Errorf("%q lacks %q", got, want)
		}
	}
	if strings.Contains(got, "17") || strings.Contains(got, "c000") {
		t.Errorf("%q has what differs", got)
	}
}
