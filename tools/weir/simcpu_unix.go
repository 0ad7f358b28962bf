//go:build unix

package main

import (
	"syscall"
	"time"
)

// cpuTime is how long the cores have worked for this process; 0 when that is
// not known.
func cpuTime() time.Duration {
	var u syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &u) != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
