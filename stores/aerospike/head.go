package aerospike

import (
	"encoding/binary"

	"github.com/weirstream/weir/core/store"
)

// An incarnation is the number under which one owner writes the records of a
// space: random, never used twice, known to nobody before it is drawn.
type incarnation uint64

// An owner record says which incarnation a space is now, and who wrote that.
type ownerRecord struct {
	session    uint64 // of the store value
	generation store.Generation
	current    incarnation
}

func (o ownerRecord) encode() []byte {
	b := []byte{formatVersion}
	b = binary.BigEndian.AppendUint64(b, o.session)
	b = binary.AppendVarint(b, int64(o.generation))
	b = binary.BigEndian.AppendUint64(b, uint64(o.current))
	return finish(b)
}

func decodeOwner(b []byte) (ownerRecord, error) {
	d := begin(b)
	o := ownerRecord{session: d.fixed64()}
	u := d.uvarint() // zigzag, as AppendVarint has it
	o.generation = store.Generation(int64(u>>1) ^ -int64(u&1))
	o.current = incarnation(d.fixed64())
	return o, d.done("the owner record")
}

// A state is what a space holds after a batch.
type state struct {
	seq      uint64 // of the batch, counting in one incarnation
	slots    uint32 // slots of the incarnation in use, the highest plus one
	count    uint64 // live entries
	sum      uint64 // of the hashes of live entries, wrapping
	position []byte // encoded, or empty for none
}

func (s state) append(b []byte) []byte {
	b = binary.AppendUvarint(b, s.seq)
	b = binary.AppendUvarint(b, uint64(s.slots))
	b = binary.AppendUvarint(b, s.count)
	b = binary.BigEndian.AppendUint64(b, s.sum)
	return appendBytes(b, s.position)
}

func (d *decoder) state() state {
	return state{seq: d.uvarint(), slots: d.uint32(), count: d.uvarint(), sum: d.fixed64(), position: append([]byte(nil), d.bytes()...)}
}

// A layer is an incarnation that was closed: records with a sequence above seq
// do not count.
type layer struct {
	id    incarnation
	seq   uint64
	slots uint32
}

// A garbage incarnation is read by nobody. Swept ones are remembered because
// deleted records can come back.
type garbage struct {
	id    incarnation
	slots uint32
	swept bool
}

// A txnID names the record that decides about a batch of several spaces.
type txnID [16]byte

// A head is the record that makes batches of one incarnation count: what it
// says is committed, all at once. It is written with its generation expected,
// and nobody but the owner and who takes over writes it.
type head struct {
	session  uint64 // of who wrote it
	sealed   bool   // taken over: its owner is fenced
	released bool   // given up in order: the next owner goes on in it
	now      state
	pending  bool // next is the state instead of now if txn committed
	txn      txnID
	next     state
	bases    []layer   // below this incarnation, oldest first
	garbage  []garbage // to be deleted
}

const (
	flagSealed = 1 << iota
	flagReleased
	flagPending
)

func (h *head) encode() []byte {
	b := []byte{formatVersion}
	b = binary.BigEndian.AppendUint64(b, h.session)
	var flags byte
	if h.sealed {
		flags |= flagSealed
	}
	if h.released {
		flags |= flagReleased
	}
	if h.pending {
		flags |= flagPending
	}
	b = h.now.append(append(b, flags))
	if h.pending {
		b = h.next.append(append(b, h.txn[:]...))
	}
	b = binary.AppendUvarint(b, uint64(len(h.bases)))
	for _, l := range h.bases {
		b = binary.BigEndian.AppendUint64(b, uint64(l.id))
		b = binary.AppendUvarint(b, l.seq)
		b = binary.AppendUvarint(b, uint64(l.slots))
	}
	b = binary.AppendUvarint(b, uint64(len(h.garbage)))
	for _, g := range h.garbage {
		b = binary.BigEndian.AppendUint64(b, uint64(g.id))
		b = binary.AppendUvarint(b, uint64(g.slots)<<1|bit(g.swept))
	}
	return finish(b)
}

func bit(b bool) uint64 {
	if b {
		return 1
	}
	return 0
}

func decodeHead(b []byte) (*head, error) {
	d := begin(b)
	h := &head{session: d.fixed64()}
	var flags byte
	if f := d.take(1); f != nil {
		flags = f[0]
	}
	h.sealed, h.released, h.pending = flags&flagSealed != 0, flags&flagReleased != 0, flags&flagPending != 0
	h.now = d.state()
	if h.pending {
		copy(h.txn[:], d.take(uint64(len(h.txn))))
		h.next = d.state()
	}
	for n := d.count(); n > 0 && !d.bad; n-- {
		h.bases = append(h.bases, layer{incarnation(d.fixed64()), d.uvarint(), d.uint32()})
	}
	for n := d.count(); n > 0 && !d.bad; n-- {
		g := garbage{id: incarnation(d.fixed64())}
		v := d.uvarint()
		g.slots, g.swept = uint32(v>>1), v&1 != 0
		h.garbage = append(h.garbage, g)
	}
	return h, d.done("the head")
}

// A verdict is what a transaction record says.
type verdict byte

const (
	committed verdict = 1
	aborted   verdict = 2
)

func (v verdict) encode(session uint64) []byte {
	return finish(binary.BigEndian.AppendUint64([]byte{formatVersion, byte(v)}, session))
}

func decodeVerdict(b []byte) (verdict, error) {
	d := begin(b)
	var v verdict
	if b := d.take(1); b != nil {
		v = verdict(b[0])
	}
	d.fixed64()
	d.bad = d.bad || v != committed && v != aborted
	return v, d.done("the transaction record")
}
