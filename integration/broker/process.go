package broker

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"sync"
	"syscall"
)

// A process runs a broker from jars on this computer's Java.
//
// The other brokers reach it through proxies, which know who connects by the
// process that owns the other end.
type process struct {
	id              int
	dir, jars, heap string
	outer           string // where its clients' listener is
	safe            string // where that for others than clients and brokers is
	brokers, voters *proxy // in front of its other two listeners
	all             *[]*process

	mu     sync.Mutex
	cmd    *exec.Cmd
	exited chan struct{}
	begun  int64 // where the log of this life begins
}

// startProcesses makes the brokers and starts them.
func startProcesses(ctx context.Context, cfg Config) (*Cluster, error) {
	c := &Cluster{}
	all := make([]*process, cfg.Nodes)
	for i := range all {
		p := &process{id: i + 1, dir: filepath.Join(cfg.Dir, fmt.Sprintf("broker-%d", i+1)), jars: cfg.Jars, heap: cfg.Heap, all: &all}
		all[i] = p
		n := &Node{id: p.id, m: p}
		c.Nodes = append(c.Nodes, n)
		var errs [3]error
		n.clients, errs[0] = newProxy(nil)
		p.brokers, errs[1] = newProxy(p.source)
		p.voters, errs[2] = newProxy(p.source)
		if err := errors.Join(errs[:]...); err != nil {
			return c, err
		}
	}
	var voters []string
	for _, p := range all {
		voters = append(voters, fmt.Sprintf("%d@%s", p.id, p.voters.addr()))
	}
	ports, keep, err := freePorts(4 * cfg.Nodes)
	if err != nil {
		return c, err
	}
	c.stop = keep.Close
	for i, p := range all {
		if err := p.format(ctx, c.Nodes[i].clients, ports[4*i:], properties(p.id, cfg.Nodes, voters)); err != nil {
			return c, err
		}
	}
	for _, p := range all {
		if err := p.start(ctx); err != nil {
			return c, err
		}
	}
	return c, nil
}

// format writes the configuration and makes the directory.
func (p *process) format(ctx context.Context, clients *proxy, ports []int, props map[string]string) error {
	inner, control := address(ports[0]), address(ports[1])
	p.outer, p.safe = address(ports[2]), address(ports[3])
	clients.to(p.outer)
	p.brokers.to(inner)
	p.voters.to(control)
	props["listeners"] = fmt.Sprintf("INNER://%s,CONTROLLER://%s,OUTER://%s,SAFE://%s", inner, control, p.outer, p.safe)
	props["advertised.listeners"] = fmt.Sprintf("INNER://%s,OUTER://%s,SAFE://%s", p.brokers.addr(), clients.addr(), p.safe)
	props["log.dirs"] = filepath.Join(p.dir, "data")
	if err := os.MkdirAll(p.dir, 0o750); err != nil {
		return err
	}
	if err := os.WriteFile(p.config(), []byte(file(props)), 0o600); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(p.dir, "log4j2.properties"), []byte(logging), 0o600); err != nil {
		return err
	}
	out, err := p.java(ctx, "128m", "kafka.tools.StorageTool", "format", "-t", "MkU3OEVBNTcwNTJENDM2Qg", "-c", p.config()).CombinedOutput()
	if err != nil {
		return fmt.Errorf("formatting broker %d: %w: %s", p.id, err, out)
	}
	return nil
}

func (p *process) config() string { return filepath.Join(p.dir, "server.properties") }

func (p *process) logPath() string { return filepath.Join(p.dir, "broker.log") }

func (p *process) inner() string { return p.safe }

// java is a command that runs a class of Kafka's.
func (p *process) java(ctx context.Context, heap, class string, args ...string) *exec.Cmd {
	all := append([]string{
		"-Xmx" + heap, "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-Djava.awt.headless=true",
		"-Dlog4j2.configurationFile=file:" + filepath.Join(p.dir, "log4j2.properties"),
		"-cp", filepath.Join(p.jars, "libs", "*"), class,
	}, args...)
	cmd := exec.CommandContext(ctx, "java", all...) //nolint:gosec // the arguments are ours
	// An interrupt from the keyboard is for the test, which then kills it.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	return cmd
}

func (p *process) start(context.Context) error {
	log, err := os.OpenFile(p.logPath(), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer log.Close()
	st, err := log.Stat()
	if err != nil {
		return err
	}
	cmd := p.java(context.Background(), p.heap, "kafka.Kafka", p.config())
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("starting broker %d: %w", p.id, err)
	}
	exited := make(chan struct{})
	p.mu.Lock()
	p.cmd, p.exited, p.begun = cmd, exited, st.Size()
	p.mu.Unlock()
	go func() { _ = cmd.Wait(); close(exited) }()
	return nil
}

func (p *process) ended() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.cmd == nil {
		return nil
	}
	select {
	case <-p.exited:
		text, err := os.ReadFile(p.logPath())
		return errors.Join(fmt.Errorf("broker %d ended; its log: %s", p.id, text[min(p.begun, int64(len(text))):]), err)
	default:
		return nil
	}
}

func (p *process) log() ([]byte, error) { return os.ReadFile(p.logPath()) }

func (p *process) kill() {
	p.mu.Lock()
	cmd, exited := p.cmd, p.exited
	p.cmd = nil
	p.mu.Unlock()
	if cmd == nil {
		return
	}
	_ = cmd.Process.Kill()
	<-exited
}

func (p *process) close() {
	p.kill()
	p.brokers.close()
	p.voters.close()
}

func (p *process) pause() error { return p.signal(syscall.SIGSTOP) }

func (p *process) resume() error { return p.signal(syscall.SIGCONT) }

func (p *process) signal(s os.Signal) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.cmd == nil {
		return fmt.Errorf("broker %d does not run", p.id)
	}
	return p.cmd.Process.Signal(s)
}

func (p *process) isolate(cut bool) error {
	if runtime.GOOS != "linux" {
		return errors.New("only Linux says which broker a connection comes from: use containers to isolate brokers")
	}
	for _, o := range *p.all {
		for _, in := range []*proxy{o.brokers, o.voters} {
			if o != p {
				in.setCut(cut, p.id)
				continue
			}
			for _, from := range *p.all {
				if from != p {
					in.setCut(cut, from.id)
				}
			}
		}
	}
	return nil
}

// source finds the broker that made a connection.
func (p *process) source(c net.Conn) int {
	inode := inodeOf(c.RemoteAddr(), c.LocalAddr())
	if inode == "" {
		return stranger
	}
	for _, o := range *p.all {
		if pid := o.pid(); pid != 0 && holds(pid, inode) {
			return o.id
		}
	}
	return stranger
}

func (p *process) pid() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.cmd == nil {
		return 0
	}
	return p.cmd.Process.Pid
}

// holds reports whether a process has a socket open.
func holds(pid int, inode string) bool {
	dir := filepath.Join("/proc", strconv.Itoa(pid), "fd")
	fds, err := os.ReadDir(dir)
	if err != nil {
		return false
	}
	for _, fd := range fds {
		if to, err := os.Readlink(filepath.Join(dir, fd.Name())); err == nil && to == "socket:["+inode+"]" {
			return true
		}
	}
	return false
}
