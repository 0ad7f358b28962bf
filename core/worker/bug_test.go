package worker_test

import (
	"github.com/weirstream/weir/core/record"
	"github.com/weirstream/weir/core/store"
	"github.com/weirstream/weir/core/task"
	"github.com/weirstream/weir/core/worker"
)

// bugs are mistakes that a driver can be told to make. Each breaks one rule of
// the design, and crash-everywhere has to notice it.
var bugs = []string{
	"uncommitted writes",  // the store gets the writes of a round before its outcome is known
	"positions first",     // data and position are not one batch
	"offsets first",       // offsets are committed outside the transaction
	"no replay",           // the store is taken to be up to date
	"unstable offsets",    // a new owner does not wait for the offsets of an open transaction
	"log end before that", // the end of the changelog is read before the offsets are stable
}

// sendTooMuch does what is not to be done when a round is sent.
func (l *lab) sendTooMuch() {
	switch l.bug {
	case "uncommitted writes":
		var b store.Batch
		for _, e := range l.round.Epochs {
			for _, r := range e.Changes {
				table := r.Topic[len(appName)+1 : len(r.Topic)-len("-changelog")]
				p := b.Part(store.Space{Table: table, Partition: r.Partition}, e.Generation)
				if r.Value == nil {
					p.Delete(r.Key)
				} else {
					p.Put(r.Key, r.Value)
				}
			}
		}
		if err := l.disk.apply(&b); err != nil {
			l.t.Fatal(err)
		}
	case "offsets first":
		l.broker.commit(l.round)
	default:
		return
	}
	l.at("a mistake is made")
}

// applyPositionsFirst splits a batch in two.
func (l *lab) applyPositionsFirst(b *store.Batch) {
	if l.bug != "positions first" {
		return
	}
	var first store.Batch
	for _, p := range b.Parts() {
		first.Part(p.Space, p.Generation).Position = p.Position
	}
	if err := l.disk.apply(&first); err != nil {
		l.t.Fatal(err)
	}
	l.at("a mistake is made")
}

// readEndsEarly reads the ends of a task's changelogs when it is to be opened.
func (l *lab) readEndsEarly(e worker.Open) {
	if l.bug != "log end before that" {
		return
	}
	if l.ends == nil {
		l.ends = make(map[task.ID]map[record.TopicPartition]int64)
	}
	l.ends[e.Task] = make(map[record.TopicPartition]int64)
	for _, name := range e.Stores {
		tp := changelogOf(store.Space{Table: name, Partition: e.Task.Partition})
		l.ends[e.Task][tp] = l.broker.log(tp).stable()
	}
}

// endOf returns where the restore of a changelog ends: its high watermark.
func (l *lab) endOf(id task.ID, tp record.TopicPartition) int64 {
	if end, ok := l.ends[id][tp]; ok {
		return end
	}
	return l.broker.log(tp).end()
}
