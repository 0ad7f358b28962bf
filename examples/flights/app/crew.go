//go:build !wasip1

package app

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"
)

// rebalance is the rebalance timeout of the workers: short, as it bounds what a
// rebalance that gets stuck costs.
const rebalance = 15 * time.Second

// A crew is the worker processes of a demo.
type crew struct {
	d       *demo
	command string
	workers []*process
	kills   int
	// failed is called when a worker ends that was not told to.
	failed context.CancelCauseFunc
}

// A process is one worker.
type process struct {
	name, stateDir string
	cmd            *exec.Cmd
	exited         chan struct{}
	mu             sync.Mutex
	expected       bool // its end
	err            error
}

// newCrew makes the workers without starting them.
func newCrew(d *demo) (*crew, error) {
	exe, err := os.Executable()
	if err != nil {
		return nil, err
	}
	c := &crew{d: d, command: exe}
	for i := range d.o.workers {
		name := fmt.Sprintf("worker-%d", i)
		c.workers = append(c.workers, &process{name: name, stateDir: filepath.Join(d.dir, name)})
	}
	return c, nil
}

func (c *crew) start() error {
	for _, p := range c.workers {
		if err := c.launch(p); err != nil {
			return err
		}
	}
	return nil
}

// launch starts a worker; it appends to its log.
func (c *crew) launch(p *process) error {
	log, err := os.OpenFile(c.d.logPath(p.name), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	defer log.Close()
	p.cmd = exec.Command(c.command, "worker",
		"--brokers", strings.Join(c.d.e.Settings.Brokers, ","),
		"--store", c.d.o.store, "--guarantee", "exactly-once",
		"--state-dir", p.stateDir, "--session-timeout", c.d.o.session.String(),
		"--rebalance-timeout", rebalance.String())
	p.cmd.Stdout, p.cmd.Stderr = log, log
	p.cmd.Env = append(os.Environ(), c.d.env...)
	ownGroup(p.cmd)
	p.exited = make(chan struct{})
	p.expected = false
	if err := p.cmd.Start(); err != nil {
		return fmt.Errorf("starting %s: %w", p.name, err)
	}
	go c.wait(p, p.cmd, p.exited)
	return nil
}

// wait sees a worker end.
func (c *crew) wait(p *process, cmd *exec.Cmd, exited chan struct{}) {
	err := cmd.Wait()
	p.mu.Lock()
	p.err = err
	expected := p.expected
	p.mu.Unlock()
	close(exited)
	if !expected {
		c.failed(fmt.Errorf("%s ended by itself (%v); its log is %s", p.name, cmd.ProcessState, c.d.logPath(p.name)))
	}
}

func (p *process) expectEnd() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.expected = true
}

// kill kills a worker as a crash of its machine would, and waits until it is
// gone.
func (c *crew) kill(p *process) error {
	p.expectEnd()
	if err := p.cmd.Process.Kill(); err != nil {
		return fmt.Errorf("killing %s: %w", p.name, err)
	}
	<-p.exited
	c.kills++
	return nil
}

// stop asks all workers to stop in an orderly way, and says if one does not.
func (c *crew) stop(ctx context.Context) error {
	for _, p := range c.workers {
		p.expectEnd()
		if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
			return fmt.Errorf("stopping %s: %w", p.name, err)
		}
	}
	ctx, cancel := context.WithTimeout(ctx, 40*time.Second)
	defer cancel()
	var errs []error
	for _, p := range c.workers {
		select {
		case <-p.exited:
			if p.err != nil {
				errs = append(errs, fmt.Errorf("%s did not stop well: %w", p.name, p.err))
			}
		case <-ctx.Done():
			// Its log shall tell what it waits for.
			_ = p.cmd.Process.Signal(syscall.SIGQUIT)
			<-p.exited
			errs = append(errs, fmt.Errorf("%s does not stop; what its goroutines do is at the end of %s", p.name, c.d.logPath(p.name)))
		}
	}
	return errors.Join(errs...)
}

// killAll ends what is left.
func (c *crew) killAll() {
	for _, p := range c.workers {
		if p.exited == nil {
			continue
		}
		p.expectEnd()
		_ = p.cmd.Process.Kill()
		<-p.exited
	}
}
