package cluster

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/weirstream/weir/core/store"
	"github.com/weirstream/weir/runtime"
	"github.com/weirstream/weir/sim/check"
	"github.com/weirstream/weir/sim/simdisk"
	"github.com/weirstream/weir/transports/kafka"
)

// A node is a machine with a disk on which one worker after the other lives.
type node struct {
	w     *world
	name  string
	disk  *simdisk.Disk
	lives int
	cur   *process // nil while nothing runs; under the world's lock
	log   *ring
	// wanted says that a worker should be running; the supervisor starts one
	// that ended by itself again.
	wanted bool
	// upgraded says that its next life has the settings of the next version.
	upgraded bool
	armed    []trigger
}

// A process is one life of a worker.
type process struct {
	n      *node
	host   string
	ctx    context.Context
	stop   context.CancelFunc
	ended  chan error
	worker *runtime.Worker
	store  store.Store
	disk   *simdisk.Store
	dead   bool // under the world's lock
	// restoring are the spaces whose restore began and has not ended; under
	// the world's lock.
	restoring map[store.Space]bool
}

// restores hears of restores, for the history and for who waits for their end.
func (p *process) restores() func(runtime.RestoreProgress) {
	note := check.Restores(p.host, p.n.w.h)
	return func(r runtime.RestoreProgress) {
		p.n.w.mu.Lock()
		defer p.n.w.mu.Unlock()
		if p.dead {
			return // what a crashed life goes on to say, nobody hears
		}
		note(r)
		if p.restoring[r.Space] = true; r.Done {
			delete(p.restoring, r.Space)
		}
	}
}

func (w *world) newNode(i int) *node {
	return &node{w: w, name: fmt.Sprintf("w%d", i), disk: simdisk.New(w.cfg.Seed + uint64(i)<<32), log: &ring{}}
}

// is reports whether a host is a life of this node.
func (n *node) is(host string) bool { return strings.HasPrefix(host, n.name+".") }

// start begins a life, unless one is under way.
func (n *node) start() {
	w := n.w
	w.mu.Lock()
	n.wanted = true
	if n.cur != nil {
		w.mu.Unlock()
		return
	}
	n.lives++
	p := &process{n: n, host: fmt.Sprintf("%s.%d", n.name, n.lives), ended: make(chan error, 1), restoring: make(map[store.Space]bool)}
	p.ctx, p.stop = context.WithCancel(context.Background())
	n.cur = p
	w.mu.Unlock()
	w.trace.add("start %s", p.host)
	w.h.Add(check.Event{Kind: check.Started, Worker: p.host})
	go p.run()
}

// run is the main function of the process and its supervisor.
func (p *process) run() {
	err := p.main()
	w := p.n.w
	w.mu.Lock()
	dead, current := p.dead, p.n.cur == p
	if current && !dead {
		p.n.cur = nil
	}
	again := p.n.wanted && current && !dead
	w.mu.Unlock()
	if dead {
		return
	}
	p.n.log.add(fmt.Sprintf("%9.3f %s ended: %v", time.Since(w.start).Seconds(), p.host, err))
	w.trace.add("ended %s: %v", p.host, err)
	w.h.Add(check.Event{Kind: check.Stopped, Worker: p.host, Note: fmt.Sprint(err)})
	p.ended <- err
	if again {
		sleep(time.Second)
		w.mu.Lock()
		again = p.n.wanted
		w.mu.Unlock()
		if again {
			p.n.start()
		}
	}
}

// main is what the command of an application does: open the store and run the
// worker.
func (p *process) main() (err error) {
	w := p.n.w
	top, err := w.cfg.App().Build()
	if err != nil {
		return err
	}
	w.mu.Lock()
	knobs := w.knobs
	if p.n.upgraded {
		knobs = knobs.upgraded()
	}
	w.mu.Unlock()
	p.n.disk.SetGate(func() { w.net.Gate(p.host) })
	disk, err := simdisk.Open(p.n.disk)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, disk.Close()) }()
	log := slog.New(&tail{w: w, name: p.host, level: logLevel(), lines: p.n.log})
	tr, err := kafka.New(kafka.Config{
		Brokers: w.brokers(), ClientID: p.host, Dialer: w.net.Dialer(p.host), Logger: log,
		TransactionTimeout: txnTimeout, RequestTimeout: reqTimeout, FetchWait: knobs.fetchWait, Compression: knobs.compression,
	})
	if err != nil {
		return err
	}
	defer tr.Close()
	p.store = check.Store(disk, p.host, w.h)
	w.mu.Lock()
	p.disk = disk
	w.mu.Unlock()
	cfg := runtime.Config{
		Topology: top, Transport: check.Transport(tr, p.host, w.h), Store: p.store, Instance: p.n.name,
		Guarantee: w.cfg.Guarantee, Lanes: knobs.lanes, CommitInterval: knobs.commit, Static: knobs.static, Standbys: knobs.standbys, CommitTimeout: commitTimeout,
		Session: session, Heartbeat: heartbeat, Rebalance: rebalance, RevokeBudget: rebalance / 3,
		ShutdownTimeout: stopTimeout, MemoryBytes: 16 << 20, PurgeInterval: 10 * time.Second,
		Logger: log, OnRestore: p.restores(),
	}
	if w.cfg.Change != nil {
		w.cfg.Change(&cfg)
	}
	worker, err := runtime.New(cfg)
	if err != nil {
		return err
	}
	w.mu.Lock()
	p.worker = worker
	w.mu.Unlock()
	return worker.Run(p.ctx)
}

// crash ends the current life without a word. power says that the machine
// lost power, silent that the network does not tell.
func (n *node) crash(power, silent bool, why string) bool {
	w := n.w
	w.mu.Lock()
	p := n.cur
	if p == nil || p.dead {
		w.mu.Unlock()
		return false
	}
	p.dead = true
	n.cur = nil
	w.mu.Unlock()
	w.net.Kill(p.host, silent)
	if power {
		n.disk.PowerLoss()
	} else {
		n.disk.Crash()
	}
	n.log.add(fmt.Sprintf("%9.3f %s crashed: %s", time.Since(w.start).Seconds(), p.host, why))
	w.h.Add(check.Event{Kind: check.Crashed, Worker: p.host, Note: why})
	return true
}

// current is the process that runs now, or nil.
func (n *node) current() *process {
	n.w.mu.Lock()
	defer n.w.mu.Unlock()
	return n.cur
}

// shutdown stops the current life in good order and waits for its end, for
// at most limit. It reports whether it ended.
func (n *node) shutdown(limit time.Duration) bool {
	w := n.w
	w.mu.Lock()
	n.wanted = false
	p := n.cur
	w.mu.Unlock()
	if p == nil {
		return true
	}
	w.trace.add("stop %s", p.host)
	p.stop()
	t := time.NewTimer(limit)
	defer t.Stop()
	select {
	case err := <-p.ended:
		p.ended <- err
		return true
	case <-t.C:
		return false
	}
}

// stoppedTasks lists the tasks of the current worker that do not go on.
func (n *node) stoppedTasks() []string {
	n.w.mu.Lock()
	var worker *runtime.Worker
	if n.cur != nil {
		worker = n.cur.worker
	}
	n.w.mu.Unlock()
	if worker == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	var ids []string
	for _, t := range worker.Status(ctx).Tasks {
		if t.Stopped != nil || t.Err != nil {
			ids = append(ids, fmt.Sprintf("%s: %v", t.Task, errors.Join(t.Stopped, t.Err)))
		}
	}
	return ids
}

// hold parks the calling goroutine for good if the process is dead.
func (p *process) hold() {
	p.n.w.net.Gate(p.host)
}
