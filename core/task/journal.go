package task

// A journal remembers how to undo what user code did, so that a failed
// attempt leaves no trace. It covers one step of the task; a mark in it is a
// savepoint.
type journal struct {
	writes []undo
	arena  []byte
}

// An undo is one write: the entry and what it held before.
type undo struct {
	space   *space
	entry   *entry
	added   bool
	deleted bool
	at, n   int // old value in the arena
}

func (j *journal) added(s *space, e *entry) {
	j.writes = append(j.writes, undo{space: s, entry: e, added: true})
}

func (j *journal) changed(s *space, e *entry) {
	at := len(j.arena)
	j.arena = append(j.arena, e.value...)
	j.writes = append(j.writes, undo{space: s, entry: e, deleted: e.deleted, at: at, n: len(e.value)})
}

func (j *journal) mark() int { return len(j.writes) }

// rollback undoes the writes since mark, newest first.
func (j *journal) rollback(mark int) {
	for len(j.writes) > mark {
		u := j.writes[len(j.writes)-1]
		j.writes = j.writes[:len(j.writes)-1]
		if u.added {
			u.space.cur.undoAdd(u.entry)
			continue
		}
		u.space.cur.bytes -= u.entry.cost()
		u.entry.value = append(u.entry.value[:0], j.arena[u.at:u.at+u.n]...)
		u.entry.deleted = u.deleted
		u.space.cur.bytes += u.entry.cost()
		j.arena = j.arena[:u.at]
	}
}

func (j *journal) reset() {
	clear(j.writes)
	j.writes, j.arena = j.writes[:0], j.arena[:0]
}
