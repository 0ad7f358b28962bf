package worker_test

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/weirstream/weir/core/record"
	"github.com/weirstream/weir/core/store"
	"github.com/weirstream/weir/core/task"
	"github.com/weirstream/weir/core/worker"
)

// historyTasks are the tasks that TestHistories draws from, all of which give
// the same result whatever happens to them.
var historyTasks = []task.ID{{Sub: "alarms"}, {Sub: "clicks"}, {Sub: "flaky"}, {Sub: "letters"}, {Sub: "visits"}, {Sub: "words"}}

// TestHistories lets everything happen in any order: crashes with and without
// the disk, aborts, unknown outcomes both ways, revocations that end well or
// expire, damaged stores, late answers. In the end, outputs and tables are those
// of a run in which nothing happened, and the store is the fold of the
// changelog.
func TestHistories(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		first := rapid.IntRange(0, len(historyTasks)-1).Draw(rt, "first")
		last := rapid.IntRange(first, min(first+2, len(historyTasks)-1)).Draw(rt, "last")
		tasks := historyTasks[first : last+1]
		h := &history{rt: rt, tasks: tasks, lab: newLab(t)}
		calm := newLab(t)
		for _, line := range drawInput(rt, tasks) {
			h.lab.produce(line)
			calm.produce(line)
		}
		h.lab.cfg.CommitInterval = rapid.SampledFrom([]int64{1, 50, 1000}).Draw(rt, "interval")
		h.lab.cfg.CacheBytes = rapid.SampledFrom([]int{0, 300, 1 << 20}).Draw(rt, "cache")
		h.lab.cfg.MaxEpochBytes = rapid.SampledFrom([]int{0, 200}).Draw(rt, "max-epoch")
		h.lab.cfg.MaxBufferedBytes = rapid.SampledFrom([]int{0, 400}).Draw(rt, "max-buffered")
		h.lab.retention = rapid.SampledFrom([]int64{0, 4000}).Draw(rt, "tombstones")
		h.lab.restart()
		h.lab.start(tasks)
		for range rapid.IntRange(0, 80).Draw(rt, "steps") {
			h.act()
		}
		h.finish()
		calm.start(tasks)
		(&history{rt: rt, tasks: tasks, lab: calm}).finish()
		h.compare(calm)
	})
}

// drawInput makes records for all tasks, with times that go back and forth.
func drawInput(rt *rapid.T, tasks []task.ID) []string {
	var lines []string
	at := 0
	key := rapid.SampledFrom([]string{"a", "b", "c", "d"})
	values := map[string]*rapid.Generator[string]{
		"words":   rapid.SampledFrom([]string{"", "", "delete"}),
		"flaky":   rapid.SampledFrom([]string{"", "", "fail1", "fail2"}),
		"letters": rapid.SampledFrom([]string{"", "", "boom", "panic"}),
		"clicks":  rapid.SampledFrom([]string{"", "", "fail1"}),
		"visits":  rapid.SampledFrom([]string{"", "twice"}),
	}
	for range rapid.IntRange(1, 40).Draw(rt, "records") {
		at += rapid.IntRange(0, 60).Draw(rt, "later")
		topic := rapid.SampledFrom(tasks).Draw(rt, "topic").Sub
		value := ""
		if topic == "alarms" {
			value = rapid.SampledFrom([]string{"tick", "cancel", fmt.Sprintf("set:%d", at+100), fmt.Sprintf("set:%d", at-10)}).Draw(rt, "alarm")
		} else {
			value = values[topic].Draw(rt, "value")
		}
		early := rapid.IntRange(0, min(at, 250)).Draw(rt, "early")
		lines = append(lines, fmt.Sprintf("%s/0 %s %s @%d", topic, key.Draw(rt, "key"), value, at-early))
	}
	return lines
}

// A history is a run of a lab in which things are drawn.
type history struct {
	rt    *rapid.T
	tasks []task.ID
	lab   *lab
}

// act does one thing that may happen.
func (h *history) act() {
	l := h.lab
	l.lines = nil
	switch what := rapid.IntRange(0, 99).Draw(h.rt, "what"); {
	case what < 25:
		if len(l.reads) > 0 {
			tp := rapid.SampledFrom(sortedParts(l.reads)).Draw(h.rt, "input")
			l.fetch(tp, rapid.IntRange(1, 5).Draw(h.rt, "records"))
		}
	case what < 50:
		l.now += rapid.Int64Range(0, 400).Draw(h.rt, "passed")
		l.step(worker.Work{Now: l.now, Max: rapid.IntRange(1, 10).Draw(h.rt, "max")})
	case what < 62:
		h.decide()
	case what < 72:
		l.applyNow(nil)
	case what < 78:
		h.open()
	case what < 84:
		l.give(h.tasks)
	default:
		h.trouble(what)
	}
}

func (h *history) decide() {
	l := h.lab
	if l.round == nil {
		return
	}
	switch rapid.IntRange(0, 5).Draw(h.rt, "outcome") {
	case 0:
		l.decide(worker.Aborted, false)
	case 1:
		l.decide(worker.Unknown, rapid.Bool().Draw(h.rt, "really"))
	case 2:
		l.decide(worker.Fenced, false)
	default:
		l.commit()
	}
}

// commit ends the round as a committer would: it does not commit for a task
// that was given away.
func (l *lab) commit() {
	for _, e := range l.round.Epochs {
		if !l.m.Owns(e.Task, e.Generation) {
			l.decide(worker.Aborted, false)
			return
		}
	}
	l.decide(worker.Committed, true)
}

// open answers one Open, Restore or Recover.
func (h *history) open() {
	l := h.lab
	if l.recovering && rapid.Bool().Draw(h.rt, "recovered") {
		l.recovering = false
		l.step(worker.Recovered{})
		return
	}
	if len(l.restores) > 0 {
		l.restore(rapid.SampledFrom(sortedIDs(l.restores)).Draw(h.rt, "restore"))
		return
	}
	if len(l.opens) > 0 {
		l.open(rapid.SampledFrom(sortedIDs(l.opens)).Draw(h.rt, "open"))
	}
}

// give assigns what is not owned.
func (l *lab) give(tasks []task.ID) {
	var missing []task.ID
	for _, id := range tasks {
		if !slices.ContainsFunc(l.m.Tasks(), func(in worker.Info) bool { return in.Task == id && in.State != worker.Stopped }) {
			missing = append(missing, id)
		}
	}
	if len(missing) > 0 {
		l.gen++
		l.step(worker.Assign{Generation: l.gen, Tasks: missing})
	}
}

func (h *history) trouble(what int) {
	l := h.lab
	ids := []task.ID{rapid.SampledFrom(h.tasks).Draw(h.rt, "task")}
	switch {
	case what < 87:
		l.step(worker.Revoke{Tasks: ids})
	case what < 89:
		l.step(worker.Expire{Tasks: ids})
	case what < 91:
		l.step(worker.Lost{Tasks: ids})
	case what < 93:
		tp := record.TopicPartition{Topic: ids[0].Sub}
		l.step(worker.FetchFailed{TP: tp, Session: sessionOf(l, tp)})
	case what < 95:
		tp := record.TopicPartition{Topic: ids[0].Sub}
		rs, next := l.broker.log(tp).read(rapid.Int64Range(0, l.broker.log(tp).end()).Draw(h.rt, "stale"), 3)
		l.step(worker.Fetched{TP: tp, Session: sessionOf(l, tp) - 1, Records: rs, Next: next})
	case what < 97:
		spaces := slices.Collect(maps.Keys(l.disk.spaces))
		slices.SortFunc(spaces, func(x, y store.Space) int { return strings.Compare(x.Table, y.Table) })
		if len(spaces) > 0 {
			l.disk.space(rapid.SampledFrom(spaces).Draw(h.rt, "space")).corrupt = true
		}
	default:
		h.crash()
	}
}

func sessionOf(l *lab, tp record.TopicPartition) int64 {
	if r := l.reads[tp]; r != nil {
		return r.session
	}
	return 0
}

func (h *history) crash() {
	l := h.lab
	if l.round != nil {
		l.end(rapid.Bool().Draw(h.rt, "round-was-committed"))
	}
	if rapid.Bool().Draw(h.rt, "disk-is-lost") {
		l.disk = newDisk()
	}
	l.restart()
	l.gen++
	l.step(worker.Assign{Generation: l.gen, Tasks: h.tasks})
}

func (h *history) finish() {
	if l := h.lab; !l.finish(h.tasks) {
		l.lines = nil
		l.tasks()
		h.rt.Fatalf("the work does not end:\n%s", l.take())
	}
}

// finish lets everything end well, and reports whether it did.
func (l *lab) finish(tasks []task.ID) bool {
	for range 2000 {
		l.lines = nil
		if l.recovering {
			l.recovering = false
			l.step(worker.Recovered{})
		}
		if l.round != nil {
			l.commit()
		}
		if l.apply != nil {
			l.applyNow(nil)
		}
		l.give(tasks)
		l.finishOpening()
		for _, tp := range sortedParts(l.reads) {
			l.fetch(tp, 100)
		}
		l.now += 200
		l.step(worker.Work{Now: l.now, Max: 1000})
		if l.done(tasks) {
			return true
		}
	}
	return false
}

// done reports whether all input is committed and nothing is on its way.
func (l *lab) done(tasks []task.ID) bool {
	for _, id := range tasks {
		tp := record.TopicPartition{Topic: id.Sub}
		if l.broker.committed[tp].offset < l.broker.log(tp).end() {
			return false
		}
	}
	return l.round == nil && l.apply == nil && len(l.opens) == 0
}

// compare compares what two runs of the same input left behind.
func (h *history) compare(calm *lab) {
	for _, topic := range []string{"totals", "closed", "late", "rings", "dead"} {
		h.equal("topic "+topic, outputsOf(h.lab, topic), outputsOf(calm, topic))
	}
	// How records fall into batches is a matter of processing time.
	h.equal("topic groups", strings.ReplaceAll(joinValues(h.lab), "+", ""), strings.ReplaceAll(joinValues(calm), "+", ""))
	for sp, s := range calm.disk.spaces {
		h.equal(sp.String(), fmt.Sprint(h.lab.disk.space(sp).data), fmt.Sprint(s.data))
		h.equal(sp.String()+" and its changelog", fmt.Sprint(h.lab.disk.space(sp).data), fmt.Sprint(fold(h.lab, sp)))
	}
}

func (h *history) equal(what, got, want string) {
	if got != want {
		h.rt.Fatalf("%s:\n  got  %s\n  want %s", what, got, want)
	}
}

// outputsOf lists committed records for each key in order: agents of different
// tasks send to one topic.
func outputsOf(l *lab, topic string) string {
	byKey := make(map[string][]string)
	for _, r := range l.broker.log(record.TopicPartition{Topic: topic}).slots {
		if r == nil {
			continue
		}
		from := ""
		for _, hd := range r.Headers {
			if hd.Key == task.HeaderTopic || hd.Key == task.HeaderOffset || hd.Key == task.HeaderAttempts {
				from += " " + string(hd.Value)
			}
		}
		byKey[string(r.Key)] = append(byKey[string(r.Key)], fmt.Sprintf("%s@%d%s", r.Value, r.Time, from))
	}
	for k := range byKey {
		if topic == "totals" {
			slices.Sort(byKey[k])
		}
	}
	return fmt.Sprint(byKey)
}

func joinValues(l *lab) string {
	var b strings.Builder
	for _, r := range l.broker.log(record.TopicPartition{Topic: "groups"}).slots {
		if r != nil {
			b.Write(r.Value)
		}
	}
	return b.String()
}

func fold(l *lab, sp store.Space) map[string]string {
	m := make(map[string]string)
	for _, r := range l.broker.log(record.TopicPartition{Topic: appName + "-" + sp.Table + "-changelog", Partition: sp.Partition}).slots {
		switch {
		case r == nil:
		case r.Value == nil:
			delete(m, string(r.Key))
		default:
			m[string(r.Key)] = string(r.Value)
		}
	}
	return m
}
