package broker

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"time"
)

// A Node is one broker.
type Node struct {
	id                    int
	dir, jars, heap       string
	inner, outer, control string
	proxy                 *proxy

	mu     sync.Mutex
	cmd    *exec.Cmd
	exited chan struct{}
	begun  int64 // where the log of this life begins
}

// settings is the broker's configuration: topics survive one lost broker where
// there are three, and what is lost is noticed within seconds.
const settings = `process.roles=broker,controller
node.id=%[1]d
controller.quorum.voters=%[2]s
listeners=INNER://%[3]s,OUTER://%[4]s,CONTROLLER://%[5]s
advertised.listeners=INNER://%[3]s,OUTER://%[6]s
controller.listener.names=CONTROLLER
inter.broker.listener.name=INNER
listener.security.protocol.map=CONTROLLER:PLAINTEXT,INNER:PLAINTEXT,OUTER:PLAINTEXT
log.dirs=%[7]s/data
num.partitions=1
default.replication.factor=%[8]d
min.insync.replicas=%[9]d
offsets.topic.replication.factor=%[8]d
offsets.topic.num.partitions=4
transaction.state.log.replication.factor=%[8]d
transaction.state.log.min.isr=%[9]d
transaction.state.log.num.partitions=4
share.coordinator.state.topic.replication.factor=%[8]d
share.coordinator.state.topic.min.isr=%[9]d
group.initial.rebalance.delay.ms=0
group.min.session.timeout.ms=1000
auto.create.topics.enable=false
broker.session.timeout.ms=4000
broker.heartbeat.interval.ms=1000
replica.lag.time.max.ms=5000
log.cleaner.dedupe.buffer.size=16777216
`

const logging = `status=error
appender.console.type=Console
appender.console.name=C
appender.console.layout.type=PatternLayout
appender.console.layout.pattern=[%d] %p %m (%c)%n
rootLogger.level=warn
rootLogger.appenderRef.c.ref=C
logger.raft.name=kafka.server.KafkaRaftServer
logger.raft.level=info
`

func (n *Node) config() string { return filepath.Join(n.dir, "server.properties") }

func (n *Node) logPath() string { return filepath.Join(n.dir, "broker.log") }

// java is a command that runs a class of Kafka's.
func (n *Node) java(ctx context.Context, heap, class string, args ...string) *exec.Cmd {
	all := append([]string{
		"-Xmx" + heap, "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-Djava.awt.headless=true",
		"-Dlog4j2.configurationFile=file:" + filepath.Join(n.dir, "log4j2.properties"),
		"-cp", filepath.Join(n.jars, "libs", "*"), class,
	}, args...)
	cmd := exec.CommandContext(ctx, "java", all...) //nolint:gosec // the arguments are ours
	// An interrupt from the keyboard is for the test, which then kills it.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	return cmd
}

// format writes the configuration and makes the directory.
func (n *Node) format(ctx context.Context, voters string, nodes int) error {
	if err := os.MkdirAll(n.dir, 0o750); err != nil {
		return err
	}
	isr := max(1, nodes-1)
	text := fmt.Sprintf(settings, n.id, voters, n.inner, n.outer, n.control, n.proxy.addr(), n.dir, nodes, isr)
	if err := os.WriteFile(n.config(), []byte(text), 0o600); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(n.dir, "log4j2.properties"), []byte(logging), 0o600); err != nil {
		return err
	}
	out, err := n.java(ctx, "128m", "kafka.tools.StorageTool", "format", "-t", "MkU3OEVBNTcwNTJENDM2Qg", "-c", n.config()).CombinedOutput()
	if err != nil {
		return fmt.Errorf("formatting broker %d: %w: %s", n.id, err, out)
	}
	return nil
}

// Start starts the broker, which must not run.
func (n *Node) Start() error {
	log, err := os.OpenFile(n.logPath(), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer log.Close()
	st, err := log.Stat()
	if err != nil {
		return err
	}
	cmd := n.java(context.Background(), n.heap, "kafka.Kafka", n.config())
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("starting broker %d: %w", n.id, err)
	}
	exited := make(chan struct{})
	n.mu.Lock()
	n.cmd, n.exited, n.begun = cmd, exited, st.Size()
	n.mu.Unlock()
	go func() { _ = cmd.Wait(); close(exited) }()
	return nil
}

// ready waits until the broker says that it has started.
func (n *Node) ready(ctx context.Context) error {
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		text, err := os.ReadFile(n.logPath())
		if err != nil {
			return err
		}
		if bytes.Contains(text[n.begun:], []byte("Kafka Server started")) {
			return nil
		}
		select {
		case <-n.exited:
			return fmt.Errorf("broker %d ended; its log: %s", n.id, text)
		case <-ctx.Done():
			return fmt.Errorf("broker %d is not ready: %w", n.id, ctx.Err())
		case <-tick.C:
		}
	}
}

// Kill sends SIGKILL and waits for the end.
func (n *Node) Kill() {
	n.mu.Lock()
	cmd, exited := n.cmd, n.exited
	n.cmd = nil
	n.mu.Unlock()
	if cmd == nil {
		return
	}
	_ = cmd.Process.Kill()
	<-exited
}

// Pause sends SIGSTOP: the broker is there and does nothing.
func (n *Node) Pause() error { return n.signal(syscall.SIGSTOP) }

// Resume sends SIGCONT.
func (n *Node) Resume() error { return n.signal(syscall.SIGCONT) }

func (n *Node) signal(s os.Signal) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.cmd == nil {
		return fmt.Errorf("broker %d does not run", n.id)
	}
	return n.cmd.Process.Signal(s)
}

// Cut lets no byte pass between clients and the broker; connections stay open,
// as they do when a switch dies. Mend is the end of that: old connections are
// reset.
func (n *Node) Cut() { n.proxy.setCut(true) }

// Mend undoes Cut.
func (n *Node) Mend() { n.proxy.setCut(false) }
