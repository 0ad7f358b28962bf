package cluster

import (
	"encoding/binary"
	"hash/crc32"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/weirstream/weir/sim/fault"
	"github.com/weirstream/weir/sim/simnet"
)

// A tap sees all requests and responses on the network. franz-go and kfake
// write each with one call.
type tap struct {
	w *world
	// pending are the kinds of requests that are not answered yet, with their
	// versions.
	pending map[frameID]kind
	traps   []*trap
}

type kind struct{ key, version int16 }

// A frameID is the connection of a request, and below it its correlation.
type frameID uint64

func idOf(conn int, corr uint32) frameID { return frameID(conn)<<32 | frameID(corr) }

// A trap waits for a request of a worker and does something to it, once.
type trap struct {
	f    fault.Fault
	key  int16
	host func(string) bool
	skip int // how many requests of that kind to let pass first
	// hit decides; response says that the answer is at hand.
	response bool
	hit      func(w simnet.Write) simnet.Verdict
	gone     bool
}

func newTap(w *world) *tap { return &tap{w: w, pending: make(map[frameID]kind)} }

// set adds a trap. The network is not locked.
func (t *tap) set(tr *trap) {
	t.w.mu.Lock()
	defer t.w.mu.Unlock()
	t.traps = append(t.traps, tr)
}

// clear removes all traps.
func (t *tap) clear() {
	t.w.mu.Lock()
	defer t.w.mu.Unlock()
	t.traps = nil
}

// see implements simnet.Config.Tap: the network is locked.
func (t *tap) see(wr simnet.Write) simnet.Verdict {
	if len(wr.Data) < 8 {
		return simnet.Verdict{}
	}
	sum := crc32.ChecksumIEEE(wr.Data)
	if !wr.Dialed {
		corr := binary.BigEndian.Uint32(wr.Data[4:])
		id := idOf(wr.Conn, corr)
		req, ok := t.pending[id]
		delete(t.pending, id)
		t.w.trace.frame("resp", &wr, req.key, corr, sum)
		if !ok {
			return simnet.Verdict{}
		}
		if req.key == int16(kmsg.Fetch) {
			t.w.forget(wr.Data, req.version)
		}
		return t.spring(wr, wr.To, req.key, true)
	}
	if len(wr.Data) < 12 {
		return simnet.Verdict{}
	}
	key := int16(binary.BigEndian.Uint16(wr.Data[4:]))
	corr := binary.BigEndian.Uint32(wr.Data[8:])
	t.pending[idOf(wr.Conn, corr)] = kind{key, int16(binary.BigEndian.Uint16(wr.Data[6:]))}
	t.w.trace.frame("req", &wr, key, corr, sum)
	return t.spring(wr, wr.From, key, false)
}

// spring lets the first trap that fits act.
func (t *tap) spring(wr simnet.Write, host string, key int16, response bool) simnet.Verdict {
	t.w.mu.Lock()
	defer t.w.mu.Unlock()
	for _, tr := range t.traps {
		if tr.gone || tr.response != response || tr.key >= 0 && tr.key != key || !tr.host(host) {
			continue
		}
		if tr.skip > 0 {
			tr.skip--
			continue
		}
		tr.gone = true
		t.w.count(tr.f.Kind)
		t.w.trace.add("fault %s on %s of %s", tr.f.Kind, kmsg.NameForKey(key), host)
		return tr.hit(wr)
	}
	return simnet.Verdict{}
}

// requests are those that faults are drawn for, by name.
func requests() []string {
	return []string{"Produce", "EndTxn", "TxnOffsetCommit", "AddOffsetsToTxn", "AddPartitionsToTxn", "InitProducerID", "OffsetCommit", "OffsetFetch", "JoinGroup", "SyncGroup", "Heartbeat", "LeaveGroup", "Fetch", "FindCoordinator", "Metadata", "ListOffsets", "CreateTopics"}
}

// keyOf is the number of a request by name, or -1 for all.
func keyOf(name string) int16 {
	for k := range int16(100) {
		if strings.EqualFold(kmsg.NameForKey(k), name) {
			return k
		}
	}
	return -1
}

func lateBy(d time.Duration) func(simnet.Write) simnet.Verdict {
	return func(simnet.Write) simnet.Verdict { return simnet.Verdict{Delay: d} }
}
