package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"

	"github.com/weirstream/weir/stores/aerospike/asfake"
	"github.com/weirstream/weir/tools/devbroker"
)

const partitions = 4

// serve runs the broker or the fake server until its parent is gone.
func serve(ctx context.Context, name string) error {
	switch name {
	case "broker":
		dir, err := os.MkdirTemp("", "benchstores-broker")
		if err != nil {
			return err
		}
		defer func() { _ = os.RemoveAll(dir) }()
		b, err := devbroker.Start(devbroker.Config{Dir: dir, Partitions: partitions})
		if err != nil {
			return err
		}
		defer b.Close()
		fmt.Println(b.Addr())
	case "aerospike":
		s, err := asfake.Start(asfake.Options{})
		if err != nil {
			return err
		}
		defer s.Close()
		fmt.Println(s.Addr())
	}
	ctx, cancel := context.WithCancel(ctx)
	go func() { // the parent's end closes our standard input
		_, _ = io.Copy(io.Discard, os.Stdin)
		cancel()
	}()
	<-ctx.Done()
	return nil
}

// startService runs one as a process of its own and returns its address.
func startService(name string) (addr string, stop func(), err error) {
	exe, err := os.Executable()
	if err != nil {
		return "", nil, err
	}
	cmd := exec.Command(exe, "--service", name)
	cmd.Stderr = os.Stderr
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return "", nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return "", nil, err
	}
	if err := cmd.Start(); err != nil {
		return "", nil, err
	}
	stop = func() {
		_ = stdin.Close()
		_ = cmd.Wait()
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		stop()
		return "", nil, fmt.Errorf("the %s did not start: %w", name, err)
	}
	return strings.TrimSpace(line), stop, nil
}
