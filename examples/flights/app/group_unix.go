//go:build unix

package app

import (
	"os/exec"
	"syscall"
)

// ownGroup keeps an interrupt from the keyboard away from a child process:
// the demo ends its children itself, in order.
func ownGroup(cmd *exec.Cmd) { cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} }
