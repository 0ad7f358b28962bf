package chaos

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"

	"github.com/weirstream/weir/sim/check"
)

// A process is a place where one worker after the other lives.
type process struct {
	r     *run
	name  string
	dir   string
	lives int
	life  string
	cmd   *exec.Cmd
	ended chan error
}

// start begins a life.
func (p *process) start() error {
	p.lives++
	p.life = fmt.Sprintf("%s.%d", p.name, p.lives)
	text, err := json.Marshal(order{Brokers: p.r.brokers, Dir: p.dir, Instance: p.name, Life: p.life, Loopback: p.r.cfg.Loopback})
	if err != nil {
		return err
	}
	exe, err := os.Executable()
	if err != nil {
		return err
	}
	eventsIn, eventsOut, err := os.Pipe()
	if err != nil {
		return err
	}
	numbersIn, numbersOut, err := os.Pipe()
	if err != nil {
		return err
	}
	log, err := os.OpenFile(filepath.Join(p.r.cfg.Dir, p.name+".log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer log.Close()
	p.cmd = exec.CommandContext(context.Background(), exe) //nolint:gosec // it is this program
	p.cmd.Env = append(os.Environ(), workerVariable+"="+string(text))
	p.cmd.Stdout, p.cmd.Stderr = log, log
	p.cmd.ExtraFiles = []*os.File{eventsOut, numbersIn}
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	p.r.h.Add(check.Event{Kind: check.Started, Worker: p.life})
	err = p.cmd.Start()
	if err := errors.Join(err, eventsOut.Close(), numbersIn.Close()); err != nil {
		return fmt.Errorf("starting %s: %w", p.name, err)
	}
	listened := make(chan struct{})
	go p.r.listen(eventsIn, numbersOut, listened)
	ended := make(chan error, 1)
	p.ended = ended
	cmd := p.cmd
	go func() {
		err := cmd.Wait()
		<-listened // to the last event that it wrote
		ended <- err
	}()
	return nil
}

// listen adds what a worker says to the history.
func (r *run) listen(events, numbers *os.File, done chan struct{}) {
	defer close(done)
	defer events.Close()
	defer numbers.Close()
	in, out := json.NewDecoder(bufio.NewReaderSize(events, 1<<20)), json.NewEncoder(numbers)
	for {
		var e check.Event
		if err := in.Decode(&e); err != nil {
			return // the end, or an event cut short by it
		}
		if e.Kind == check.Assigned {
			r.assignment()
		}
		if err := out.Encode(r.h.Add(e)); err != nil {
			return
		}
	}
}

// kill sends SIGKILL.
func (p *process) kill(why string) {
	_ = p.cmd.Process.Kill()
	if err := <-p.ended; err == nil {
		why += ", but it had ended well"
	}
	p.r.h.Add(check.Event{Kind: check.Crashed, Worker: p.life, Note: why})
}

// died starts a worker again that ended by itself, and says so.
func (p *process) died() error {
	select {
	case err := <-p.ended:
		p.r.h.Add(check.Event{Kind: check.Stopped, Worker: p.life, Note: fmt.Sprint(err)})
		p.r.sayf("%s ended by itself: %v", p.life, err)
		p.r.ended++
		return p.start()
	default:
		return nil
	}
}

// stop asks the worker to stop, and kills it when it does not.
func (p *process) stop(limit time.Duration) {
	began := time.Now()
	_ = p.cmd.Process.Signal(syscall.SIGTERM)
	t := time.NewTimer(limit)
	defer t.Stop()
	select {
	case err := <-p.ended:
		e := check.Event{Kind: check.Stopped, Worker: p.life, Took: time.Since(began).Milliseconds()}
		if err != nil {
			e.Note = err.Error()
		}
		p.r.h.Add(e)
	case <-t.C: // L5 sees that it did not stop
		_ = p.cmd.Process.Signal(syscall.SIGQUIT)
		err := <-p.ended
		p.r.sayf("%s did not stop: %v", p.life, err)
	}
}
