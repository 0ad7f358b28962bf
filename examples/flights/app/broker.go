//go:build !wasip1

package app

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// A broker is the development broker as a process of its own.
type broker struct {
	addr   string
	cmd    *exec.Cmd
	log    *os.File
	exited chan struct{}
}

// startBroker starts the development broker on a free port.
func startBroker(ctx context.Context, command, dir string) (*broker, error) {
	if command == "" {
		command = filepath.Join(dir, "weir")
		if err := buildWeir(ctx, command); err != nil {
			return nil, err
		}
	}
	log, err := os.Create(filepath.Join(dir, "broker.log"))
	if err != nil {
		return nil, err
	}
	cmd := exec.Command(command, "dev", "--port", "0", "--dir", filepath.Join(dir, "broker"))
	cmd.Stderr = log
	ownGroup(cmd)
	out, err := cmd.StdoutPipe()
	if err != nil {
		log.Close()
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		log.Close()
		return nil, fmt.Errorf("starting the development broker: %w", err)
	}
	b := &broker{cmd: cmd, log: log, exited: make(chan struct{})}
	// The line comes soon or the process ends, and with it the pipe.
	text, err := bufio.NewReader(out).ReadString('\n')
	addr, ok := strings.CutPrefix(strings.TrimSpace(text), "listening on ")
	go func() { _ = cmd.Wait(); close(b.exited) }()
	if err != nil || !ok {
		b.stop()
		said, _ := os.ReadFile(log.Name())
		return nil, fmt.Errorf("the development broker did not start: %q %s", text, said)
	}
	b.addr = addr
	return b, nil
}

// buildWeir builds the toolbox, from the source beside this example.
func buildWeir(ctx context.Context, to string) error {
	cmd := exec.CommandContext(ctx, "go", "build", "-o", to, "github.com/weirstream/weir/tools/weir")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("building the development broker: %w: %s\nrun the demo in the source tree, or name a built weir with --broker-command", err, out)
	}
	return nil
}

// stop ends the broker.
func (b *broker) stop() {
	_ = b.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-b.exited:
	case <-time.After(10 * time.Second):
		_ = b.cmd.Process.Kill()
		<-b.exited
	}
	b.log.Close()
}
