package assign

import (
	"encoding/binary"
	"slices"
)

// Data is what a member tells the leader of its group when it joins, in the
// user data of its subscription, and what the leader tells a member in the user
// data of its assignment: there Standbys alone means something.
type Data struct {
	// Tasks whose state the member has on disk: those it runs, those it ran
	// before and has not cleaned up, and its standbys that are caught up.
	Tasks []Task
	// Standbys are the tasks that the member keeps a replica of, caught up or
	// not. From the leader: those that it is to keep one of.
	Standbys []Task
	// Capabilities is a set of bits for what a member can do beyond the
	// basics. None is defined yet; a leader ignores those it does not know.
	Capabilities uint64
}

// Layout: magic byte, version byte, capabilities, number of sub-topologies,
// then for each its name's length, name, number of partitions, and the
// partitions as differences. All numbers are unsigned varints. The standbys
// follow in the same form as the tasks, when there are any. Later versions that
// only append are still version 1: what follows is ignored.
const (
	dataMagic   = 0xE7 // starts no UTF-8 text and no JSON
	dataVersion = 1
)

// Encode returns the binary form. Equal sets of tasks encode to equal bytes.
// Tasks with a negative partition are left out.
func (d Data) Encode() []byte {
	b := []byte{dataMagic, dataVersion}
	b = binary.AppendUvarint(b, d.Capabilities)
	b = appendTasks(b, d.Tasks)
	if len(d.Standbys) > 0 {
		b = appendTasks(b, d.Standbys)
	}
	return b
}

func appendTasks(b []byte, tasks []Task) []byte {
	tasks = slices.Clone(tasks)
	tasks = slices.DeleteFunc(tasks, func(t Task) bool { return t.Partition < 0 })
	slices.SortFunc(tasks, Task.Compare)
	tasks = slices.Compact(tasks)

	var runs [][]Task
	for i, t := range tasks {
		if i == 0 || t.Sub != tasks[i-1].Sub {
			runs = append(runs, nil)
		}
		last := len(runs) - 1
		runs[last] = append(runs[last], t)
	}
	b = binary.AppendUvarint(b, uint64(len(runs)))
	for _, run := range runs {
		b = binary.AppendUvarint(b, uint64(len(run[0].Sub)))
		b = append(b, run[0].Sub...)
		b = binary.AppendUvarint(b, uint64(len(run)))
		var prev int32
		for _, t := range run {
			b = binary.AppendUvarint(b, uint64(t.Partition-prev))
			prev = t.Partition
		}
	}
	return b
}

// DecodeData reads the binary form. It returns false and empty Data for bytes
// that are not of a version it knows or are damaged: a member with foreign
// user data then counts as one without state, and the group goes on. Standbys
// that cannot be read count as none.
func DecodeData(b []byte) (Data, bool) {
	if len(b) < 2 || b[0] != dataMagic || b[1] != dataVersion {
		return Data{}, false
	}
	r := reader{b: b[2:]}
	d := Data{Capabilities: r.uvarint()}
	d.Tasks = r.tasks()
	if r.bad {
		return Data{}, false
	}
	if len(r.b) > 0 {
		d.Standbys = r.tasks()
	}
	return d, true
}

// A reader takes values off the front of b; the first that is not there makes
// it bad, and zero values follow.
type reader struct {
	b   []byte
	bad bool
}

// tasks reads a list of tasks; it is nil when r is bad afterwards.
func (r *reader) tasks() []Task {
	var tasks []Task
	for range r.count() {
		name := string(r.bytes(r.uvarint()))
		var at uint64
		for range r.count() {
			at += r.uvarint()
			if at > 1<<31-1 {
				r.bad = true
			}
			if r.bad {
				return nil
			}
			tasks = append(tasks, Task{Sub: name, Partition: int32(at)})
		}
		if r.bad {
			return nil
		}
	}
	return tasks
}

func (r *reader) uvarint() uint64 {
	v, n := binary.Uvarint(r.b)
	if n <= 0 {
		r.bad = true
		r.b = nil
		return 0
	}
	r.b = r.b[n:]
	return v
}

// count reads the number of the items that follow. Each takes a byte at least,
// so a larger number is damage and must not cost memory or time.
func (r *reader) count() uint64 {
	n := r.uvarint()
	if n > uint64(len(r.b)) {
		r.bad = true
		return 0
	}
	return n
}

func (r *reader) bytes(n uint64) []byte {
	if n > uint64(len(r.b)) {
		r.bad = true
		return nil
	}
	v := r.b[:n]
	r.b = r.b[n:]
	return v
}
