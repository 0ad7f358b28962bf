package cluster

import (
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/weirstream/weir/sim/check"
	"github.com/weirstream/weir/sim/fault"
	"github.com/weirstream/weir/sim/simnet"
)

// Crash points of package runtime: those of a running worker, and those of
// one that starts or takes tasks over.
func points() []string {
	return []string{"commit.before", "commit.after", "apply.before", "apply.after", "revoke.before", "revoke.after"}
}

func restorePoints() []string {
	return []string{"assign", "open.committed", "open.opened", "restore.dropped", "restore.apply", "restore.applied", "standby.opened", "standby.apply", "standby.applied"}
}

// space is what plans of this world are drawn from.
func (w *world) space() fault.Space {
	return fault.Space{
		Kinds: w.cfg.Faults, Nodes: w.cfg.Workers, Brokers: w.cfg.Brokers, Duration: w.cfg.Duration, Most: w.cfg.MostFaults,
		Points: points(), Restoring: restorePoints(), Requests: requests(), TxnTimeout: txnTimeout, Session: session,
		Deletions: w.knobs.tombstones,
	}
}

// schedule makes the faults of the plan happen at their times.
func (w *world) schedule() {
	for _, f := range w.plan {
		time.AfterFunc(f.At, func() {
			w.mu.Lock()
			over := w.healed
			w.mu.Unlock()
			if over {
				return
			}
			w.trace.add("fault %s", f)
			w.h.Add(check.Event{Kind: check.Fault, Note: f.String()})
			w.inject(f)
		})
	}
}

// count counts a fault that happened. The world is locked.
func (w *world) count(k fault.Kind) { w.injected[k]++ }

func (w *world) counted(k fault.Kind) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.count(k)
}

// after does something when a fault ends, or when all is healed, whichever is
// first. It is done once.
func (w *world) after(d time.Duration, f func()) {
	done := false
	first := func() {
		w.mu.Lock()
		was := done
		done = true
		w.mu.Unlock()
		if !was {
			f()
		}
	}
	w.mu.Lock()
	w.undo = append(w.undo, first)
	w.mu.Unlock()
	time.AfterFunc(d, first)
}

// inject makes one fault happen.
func (w *world) inject(f fault.Fault) {
	n := w.nodes[f.Node%len(w.nodes)]
	switch f.Kind {
	case fault.CrashPoint, fault.CrashRestore:
		w.armPoint(n, f)
	case fault.Crash, fault.CrashEmpty, fault.PowerLoss, fault.FlipBit, fault.Tombstones:
		w.kill(n, f)
	case fault.Fleet:
		for _, n := range w.nodes {
			w.kill(n, f)
		}
	case fault.Pause:
		w.pause(n, f)
	case fault.Panic:
		if w.cfg.Panics != nil {
			w.counted(f.Kind)
			// Not more on top of those that nobody has met yet: a record
			// whose attempts are used up is a dead letter, as it should be.
			w.cfg.Panics.Store(int64(1 + f.N))
		}
	case fault.SlowCode:
		if w.cfg.Stalls != nil {
			w.counted(f.Kind)
			w.cfg.Stalls.Store(int64(f.For))
		}
	case fault.Restart, fault.Flap, fault.Join:
		go w.restart(n, f)
	case fault.Upgrade:
		w.counted(f.Kind)
		go w.upgrade(f)
	case fault.CutOff:
		w.cutOff(n, f)
	case fault.StopCutOff:
		go w.stopCutOff(n, f)
	case fault.CrashRequest, fault.LoseRequest, fault.LoseResponse, fault.CutFrame, fault.Late, fault.TxnTimeout:
		w.setTrap(n, f)
	case fault.OneWay, fault.Partition, fault.Clog, fault.Jumble, fault.Slow, fault.Reset, fault.HalfOpen:
		w.disturb(n, f)
	case fault.MoveLeader, fault.MoveCoordinate, fault.PartialProduce, fault.BrokerError, fault.AfterApply, fault.Compact, fault.Denied:
		w.trouble(f)
	case fault.DiskFull, fault.SyncError, fault.SlowDisk:
		w.spoil(n, f)
	}
}

// kill crashes a node and starts it again later.
func (w *world) kill(n *node, f fault.Fault) {
	power := f.Kind == fault.PowerLoss || f.Kind == fault.Fleet && f.N == 0
	if !n.crash(power, f.N%2 == 1, f.String()) {
		return
	}
	w.counted(f.Kind)
	switch f.Kind {
	case fault.CrashEmpty:
		n.disk.Wipe()
	case fault.FlipBit:
		for range 1 + f.N {
			n.disk.FlipBit()
		}
	case fault.Tombstones:
		w.expire(f.For, n.start)
		return
	default:
	}
	w.after(f.For, n.start)
}

// compacts reports whether a fault has the brokers compact their logs.
func compacts(f fault.Fault) bool {
	return f.Kind == fault.Compact || f.Kind == fault.Tombstones || f.Kind == fault.CutOff
}

// expire compacts twice, as it takes for a deletion to go (KIP-534): what somebody
// missed is gone from the log when he is back.
func (w *world) expire(d time.Duration, back func()) {
	w.after(d/5, w.compact)
	w.after(d, func() { w.compact(); back() })
}

// cutOff cuts a worker off from a broker, but not from the group.
func (w *world) cutOff(n *node, f fault.Fault) {
	p := n.current()
	if p == nil || w.cfg.Brokers == 1 {
		return
	}
	if w.fake.CoordinatorFor(w.top.App) == int32(f.Broker%w.cfg.Brokers) {
		f.Broker++
	}
	w.counted(f.Kind)
	b := w.broker(f.Broker)
	w.net.Hold(p.host, b)
	w.net.Hold(b, p.host)
	w.expire(f.For, func() {
		w.net.Release(p.host, b)
		w.net.Release(b, p.host)
	})
}

// armPoint makes a node crash when it reaches a crash point, in this life or a
// later one.
func (w *world) armPoint(n *node, f fault.Fault) {
	w.mu.Lock()
	n.armed = append(n.armed, trigger{f.Kind, f.What, f.N})
	w.mu.Unlock()
	if f.Kind == fault.CrashRestore {
		// Something must be opened and restored for that.
		w.kill(n, fault.Fault{Kind: fault.CrashEmpty, For: time.Second, N: f.N})
	}
}

// A trigger crashes a node at a crash point, after it was passed a few times.
type trigger struct {
	kind  fault.Kind
	point string
	skip  int
}

// pull reports which trigger of the node this visit of a point sets off.
func (n *node) pull(point string) (fault.Kind, bool) {
	for i := range n.armed {
		tr := &n.armed[i]
		if tr.point != point {
			continue
		}
		if tr.skip > 0 {
			tr.skip--
			continue
		}
		kind := tr.kind
		n.armed = slices.Delete(n.armed, i, i+1)
		return kind, true
	}
	return "", false
}

// reached is called at every crash point, on the worker's own goroutine.
func (w *world) reached(p *process, point string) {
	p.hold()
	w.mu.Lock()
	w.points[point]++
	n := p.n
	kind, hit := fault.Kind(""), false
	if !w.healed {
		kind, hit = n.pull(point)
	}
	w.mu.Unlock()
	if !hit {
		return
	}
	if n.crash(false, w.points[point]%2 == 0, "at "+point) {
		w.counted(kind)
		w.after(500*time.Millisecond, n.start)
	}
	p.hold() // dead: for good
}

func (w *world) pause(n *node, f fault.Fault) {
	p := n.current()
	if p == nil {
		return
	}
	w.counted(f.Kind)
	w.net.Pause(p.host)
	w.after(f.For, func() { w.net.Resume(p.host) })
}

// restart stops a worker in good order and starts it again: once, or several
// times in a row (flapping), or after a long while (leave and join).
func (w *world) restart(n *node, f fault.Fault) {
	times := 1
	if f.Kind == fault.Flap {
		times = 2 + f.N
	}
	for range times {
		w.mu.Lock()
		over := w.healed
		w.mu.Unlock()
		if over {
			return
		}
		w.counted(f.Kind)
		n.shutdown(stopTimeout + 10*time.Second)
		if f.Kind == fault.Join {
			w.after(f.For, n.start)
			return
		}
		n.start()
		sleep(f.For / 2)
	}
}

// upgrade stops one worker after the other and starts it with other settings,
// so that for a while old and new ones are in the group.
func (w *world) upgrade(f fault.Fault) {
	for _, n := range w.nodes {
		w.mu.Lock()
		over := w.healed
		n.upgraded = true
		w.mu.Unlock()
		if over {
			return
		}
		n.shutdown(stopTimeout + 10*time.Second)
		n.start()
		sleep(f.For / 2)
	}
}

// stopCutOff stops a worker that reaches no broker meanwhile: it can neither
// commit nor leave, and has to end all the same.
func (w *world) stopCutOff(n *node, f fault.Fault) {
	p := n.current()
	if p == nil {
		return
	}
	w.counted(f.Kind)
	for _, b := range w.brokers() {
		w.net.Hold(p.host, b)
		w.net.Hold(b, p.host)
		w.after(stopTimeout+5*time.Second+f.For, func() { w.net.Release(p.host, b); w.net.Release(b, p.host) })
	}
	n.shutdown(stopTimeout + 10*time.Second)
	w.mu.Lock()
	over := w.healed
	w.mu.Unlock()
	if !over {
		n.start()
	}
}

// setTrap waits for a request of the node, whatever its life.
func (w *world) setTrap(n *node, f fault.Fault) {
	tr := &trap{f: f, key: keyOf(f.What), host: n.is, skip: f.N * 2}
	switch f.Kind {
	case fault.CrashRequest:
		// Half of the time the request arrives before the worker dies.
		tr.hit = func(wr simnet.Write) simnet.Verdict {
			go func() {
				if n.crash(false, f.N%2 == 1, "sending "+f.What) {
					w.after(f.For, n.start)
				}
			}()
			if f.N >= 2 {
				return simnet.Verdict{}
			}
			return simnet.Verdict{Reset: true}
		}
	case fault.LoseRequest:
		tr.hit = func(simnet.Write) simnet.Verdict { return simnet.Verdict{Reset: true} }
	case fault.LoseResponse:
		tr.response = true
		tr.hit = func(simnet.Write) simnet.Verdict { return simnet.Verdict{Reset: true} }
	case fault.CutFrame:
		tr.response = f.N%2 == 0
		tr.hit = func(wr simnet.Write) simnet.Verdict {
			return simnet.Verdict{Reset: true, Keep: len(wr.Data) / 2}
		}
	case fault.Late:
		tr.response = f.N%2 == 0
		tr.hit = lateBy(reqTimeout + f.For)
	case fault.TxnTimeout:
		tr.key, tr.skip = kmsg.EndTxn.Int16(), f.N
		tr.hit = lateBy(txnTimeout + time.Second)
	default:
		return
	}
	w.tap.set(tr)
}

// disturb changes the network between a node and a broker, or all brokers
// when N is 3.
func (w *world) disturb(n *node, f fault.Fault) {
	p := n.current()
	if p == nil {
		return
	}
	w.counted(f.Kind)
	brokers := []string{w.broker(f.Broker)}
	if f.N == 3 {
		brokers = w.brokers()
	}
	for _, b := range brokers {
		switch f.Kind {
		case fault.OneWay:
			from, to := p.host, b
			if f.N%2 == 0 {
				from, to = b, p.host
			}
			w.net.Hold(from, to)
			w.after(f.For, func() { w.net.Release(from, to) })
		case fault.Partition:
			w.net.Hold(p.host, b)
			w.net.Hold(b, p.host)
			w.after(2*f.For, func() { w.net.Release(p.host, b); w.net.Release(b, p.host) })
		case fault.Clog:
			d := min(f.For, 2*time.Second)
			w.net.Hold(p.host, b)
			w.after(d, func() { w.net.Release(p.host, b) })
		case fault.Jumble:
			w.net.Hold(p.host, b)
			w.after(min(f.For, 3*time.Second), func() { w.net.Jumble(p.host, b, time.Second) })
		case fault.Slow:
			d := time.Duration(1+f.N) * 150 * time.Millisecond
			w.net.Slow(p.host, b, d)
			w.net.Slow(b, p.host, d)
			w.after(f.For, func() { w.net.Slow(p.host, b, 0); w.net.Slow(b, p.host, 0) })
		case fault.Reset:
			w.net.Reset(p.host, b)
		case fault.HalfOpen:
			w.net.HalfOpen(p.host, b)
		default:
		}
	}
}

// trouble is what brokers do.
func (w *world) trouble(f fault.Fault) {
	w.counted(f.Kind)
	switch f.Kind {
	case fault.MoveLeader:
		for i, name := range sortedKeys(w.top.Topics) {
			for _, p := range w.fake.PartitionInfos(name) {
				if (int(p.Partition)+i)%3 == f.N%3 {
					_ = w.fake.MoveTopicPartition(name, p.Partition, int32(f.Broker%w.cfg.Brokers))
				}
			}
		}
	case fault.MoveCoordinate:
		w.fake.RehashCoordinators()
	case fault.Compact:
		w.compact()
	case fault.PartialProduce:
		errs := []*kerr.Error{kerr.NotLeaderForPartition, kerr.KafkaStorageError, kerr.NotEnoughReplicas, kerr.RequestTimedOut}
		w.refuse(f, kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Partitions: []int32{int32(f.N)}, Err: errs[(f.Node+f.Broker)%len(errs)], Count: 1 + f.N})
	case fault.AfterApply:
		w.refuse(f, kfake.Fault{Keys: []kmsg.Key{kmsg.Produce, kmsg.OffsetCommit, kmsg.TxnOffsetCommit, kmsg.CreateTopics}, Err: kerr.RequestTimedOut, Count: 1 + f.N})
	case fault.BrokerError:
		errs := brokerErrors(f.What)
		w.refuse(f, kfake.Fault{Keys: []kmsg.Key{kmsg.Key(keyOf(f.What))}, Err: errs[(f.Node+f.Broker+f.N)%len(errs)], Count: 1 + 2*f.N})
	case fault.Denied:
		w.refuse(f, kfake.Fault{Keys: []kmsg.Key{kmsg.Produce, kmsg.EndTxn, kmsg.TxnOffsetCommit}[f.N%3 : f.N%3+1], Err: []*kerr.Error{kerr.TopicAuthorizationFailed, kerr.TransactionalIDAuthorizationFailed, kerr.GroupAuthorizationFailed}[f.N%3], Count: 1})
	default:
	}
}

// refuse makes the brokers answer with errors until the fault is over.
func (w *world) refuse(f fault.Fault, k kfake.Fault) {
	h := w.fake.Fault(k)
	w.after(f.For+time.Second, h.Remove)
}

// brokerErrors are errors that a broker may answer a request with when it is
// busy, has moved or lost what was asked for.
func brokerErrors(request string) []*kerr.Error {
	switch request {
	case "Produce":
		return []*kerr.Error{kerr.NotLeaderForPartition, kerr.NotEnoughReplicas, kerr.KafkaStorageError, kerr.UnknownServerError}
	case "Fetch", "ListOffsets":
		return []*kerr.Error{kerr.NotLeaderForPartition, kerr.FencedLeaderEpoch, kerr.KafkaStorageError, kerr.UnknownServerError}
	case "Metadata":
		return []*kerr.Error{kerr.LeaderNotAvailable}
	case "FindCoordinator":
		return []*kerr.Error{kerr.CoordinatorNotAvailable}
	case "JoinGroup", "SyncGroup", "Heartbeat", "LeaveGroup":
		return []*kerr.Error{kerr.CoordinatorLoadInProgress, kerr.NotCoordinator, kerr.UnknownMemberID, kerr.RebalanceInProgress}
	case "OffsetCommit", "OffsetFetch":
		return []*kerr.Error{kerr.CoordinatorLoadInProgress, kerr.NotCoordinator, kerr.CoordinatorNotAvailable}
	case "CreateTopics":
		return []*kerr.Error{kerr.NotController}
	}
	// Those of the transaction coordinator.
	return []*kerr.Error{kerr.CoordinatorLoadInProgress, kerr.NotCoordinator, kerr.CoordinatorNotAvailable, kerr.ConcurrentTransactions}
}

// spoil is what disks do.
func (w *world) spoil(n *node, f fault.Fault) {
	w.counted(f.Kind)
	switch f.Kind {
	case fault.DiskFull:
		n.disk.SetFree(1000 * f.N)
		w.after(f.For, func() { n.disk.SetFree(-1) })
	case fault.SyncError:
		n.disk.FailSyncs(1 + f.N)
		w.after(f.For, func() { n.disk.FailSyncs(0) })
	case fault.SlowDisk:
		n.disk.SetSlow(time.Duration(1+f.N) * 50 * time.Millisecond)
		w.after(f.For, func() { n.disk.SetSlow(0) })
	default:
	}
}

// heal ends all faults: nothing goes wrong from now on, and every node has a
// worker.
func (w *world) heal() {
	w.mu.Lock()
	w.healed = true
	undo := w.undo
	w.undo = nil
	w.mu.Unlock()
	w.tap.clear()
	for _, f := range undo {
		f()
	}
	for _, n := range w.nodes {
		w.mu.Lock()
		n.armed = nil
		w.mu.Unlock()
		n.start()
	}
	w.trace.add("healed")
	w.h.Add(check.Event{Kind: check.Healed})
}
