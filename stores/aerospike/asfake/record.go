package asfake

import (
	"encoding/binary"
	"maps"
	"slices"
	"time"
)

const (
	maxRecord     = 1 << 20
	recordExtra   = 64 // what a record costs beside names and values
	maxBinName    = 15
	maxGeneration = 1<<16 - 1

	ttlDefault    = 0
	ttlNever      = 1<<32 - 1
	ttlDontUpdate = 1<<32 - 2
)

// epoch is where the wire's expiry times begin.
func epoch() time.Time { return time.Date(2010, 1, 1, 0, 0, 0, 0, time.UTC) }

// A record is never changed: a write makes a new one.
type record struct {
	set        string
	generation uint32
	expires    time.Time // zero for never
	bins       map[string]value
}

func (r *record) size() int {
	n := recordExtra + len(r.set)
	for name, v := range r.bins {
		n += len(name) + len(v.data) + 8
	}
	return n
}

func (r *record) expired(now time.Time) bool { return !r.expires.IsZero() && !now.Before(r.expires) }

func (r *record) reply(bins []binValue) reply {
	out := reply{generation: r.generation, bins: bins}
	if !r.expires.IsZero() {
		out.expires = uint32(r.expires.Sub(epoch()) / time.Second)
	}
	return out
}

// all returns the bins in the order of their names.
func (r *record) all() []binValue {
	out := make([]binValue, 0, len(r.bins))
	for _, name := range slices.Sorted(maps.Keys(r.bins)) {
		out = append(out, binValue{name, r.bins[name]})
	}
	return out
}

// execute carries out one message about one record. The lock is held.
func (s *Server) execute(m *message) reply {
	switch {
	case m.namespace != s.opts.Namespace:
		return reply{code: InvalidNamespace}
	case m.unsupported, m.filter && s.find(m.digest) != nil:
		return reply{code: UnsupportedFeature}
	case m.info2&info2Write == 0:
		return s.read(m)
	case s.before != nil:
		s.before()
	}
	if s.failing != OK {
		return reply{code: s.failing}
	}
	if m.info2&info2DurableDelete != 0 {
		return reply{code: EnterpriseOnly}
	}
	if m.info2&info2Delete != 0 {
		return s.remove(m)
	}
	return s.write(m)
}

// find returns the live record of a message, or nil.
func (s *Server) find(d digest) *record {
	r := s.live[d]
	if r == nil || r.expired(s.opts.Now()) {
		return nil
	}
	return r
}

func (s *Server) read(m *message) reply {
	r := s.find(m.digest)
	if r == nil {
		return reply{code: KeyNotFound}
	}
	if m.info1&info1NoBins != 0 {
		return r.reply(nil)
	}
	if m.info1&info1All != 0 || len(m.ops) == 0 {
		return r.reply(r.all())
	}
	var bins []binValue
	for _, op := range m.ops {
		if op.op != opRead {
			return reply{code: UnsupportedFeature}
		}
		if v, ok := r.bins[op.bin]; ok {
			bins = append(bins, binValue{op.bin, v})
		}
	}
	return r.reply(bins)
}

// check says whether the generation and the record-exists policy allow the
// message. A record that is missing has generation 0.
func check(m *message, r *record) Code {
	if m.info2&info2CreateOnly != 0 && r != nil {
		return KeyExists
	}
	if m.info3&(info3UpdateOnly|info3ReplaceOnly) != 0 && r == nil {
		return KeyNotFound
	}
	var gen uint32
	if r != nil {
		gen = r.generation
	}
	if m.info2&info2Generation != 0 && gen != m.generation {
		return GenerationError
	}
	if m.info2&info2GenerationGT != 0 && m.generation <= gen {
		return GenerationError
	}
	return OK
}

func (s *Server) remove(m *message) reply {
	r := s.find(m.digest)
	if r == nil {
		return reply{code: KeyNotFound}
	}
	if code := check(m, r); code != OK {
		return reply{code: code}
	}
	delete(s.live, m.digest)
	s.stats.Deletes++
	return reply{}
}

func (s *Server) write(m *message) reply {
	old := s.find(m.digest)
	if code := check(m, old); code != OK {
		return reply{code: code}
	}
	next := &record{set: m.set, generation: 1, bins: make(map[string]value)}
	if old != nil {
		next.generation = old.generation%maxGeneration + 1
		next.expires = old.expires
		if m.info3&(info3CreateOrReplace|info3ReplaceOnly) == 0 {
			maps.Copy(next.bins, old.bins)
		}
	}
	if code := s.expiry(m.ttl, next); code != OK {
		return reply{code: code}
	}
	bins, code := apply(m, next)
	switch {
	case code != OK:
		return reply{code: code}
	case len(next.bins) == 0: // nothing is left of it
		if old == nil {
			return reply{code: KeyNotFound}
		}
		delete(s.live, m.digest)
		s.stats.Deletes++
		return reply{bins: bins}
	case next.size() > maxRecord:
		return reply{code: RecordTooBig}
	}
	s.put(m.digest, next)
	return next.reply(bins)
}

func (s *Server) expiry(ttl uint32, r *record) Code {
	switch ttl {
	case ttlDefault, ttlNever:
		r.expires = time.Time{}
	case ttlDontUpdate:
	default:
		if s.opts.NoExpiry {
			return Forbidden
		}
		r.expires = s.opts.Now().Add(time.Duration(ttl) * time.Second)
	}
	return OK
}

// apply carries out the operations of a message on a record.
func apply(m *message, r *record) ([]binValue, Code) {
	var out []binValue
	for _, op := range m.ops {
		if len(op.bin) > maxBinName {
			return nil, BinNameTooLong
		}
		if op.op == opRead {
			if op.bin == "" {
				out = append(out, r.all()...)
				continue
			}
			if v, ok := r.bins[op.bin]; ok || m.info2&info2RespondAll != 0 {
				out = append(out, binValue{op.bin, v})
			}
			continue
		}
		if code := change(op, r); code != OK {
			return nil, code
		}
		if m.info2&info2RespondAll != 0 {
			out = append(out, binValue{name: op.bin})
		}
	}
	return out, OK
}

func change(op operation, r *record) Code {
	old, has := r.bins[op.bin]
	switch op.op {
	case opWrite:
		if op.value.kind == typeNull {
			delete(r.bins, op.bin)
		} else {
			r.bins[op.bin] = op.value
		}
	case opTouch:
	case opDelete:
		clear(r.bins)
	case opAdd:
		sum, code := add(old, op.value, has)
		if code != OK {
			return code
		}
		r.bins[op.bin] = sum
	case opAppend, opPrepend:
		if op.value.kind != typeString && op.value.kind != typeBlob || has && old.kind != op.value.kind {
			return BinTypeError
		}
		joined := old.data + op.value.data
		if op.op == opPrepend {
			joined = op.value.data + old.data
		}
		r.bins[op.bin] = value{op.value.kind, joined}
	default:
		return UnsupportedFeature
	}
	return OK
}

func add(old, by value, has bool) (value, Code) {
	if by.kind != typeInt || has && old.kind != typeInt || len(by.data) != 8 {
		return value{}, BinTypeError
	}
	sum := binary.BigEndian.Uint64([]byte(by.data))
	if has {
		sum += binary.BigEndian.Uint64([]byte(old.data))
	}
	return value{typeInt, string(binary.BigEndian.AppendUint64(nil, sum))}, OK
}
