//go:build linux || darwin

package conformance

import (
	ossignal "os/signal"
	"syscall"
)

const canLimitFiles = true

// limitFiles makes writes beyond n bytes of a file fail with EFBIG, in this
// process and for good.
func limitFiles(n uint64) error {
	ossignal.Ignore(syscall.SIGXFSZ)
	return syscall.Setrlimit(syscall.RLIMIT_FSIZE, &syscall.Rlimit{Cur: n, Max: n})
}
