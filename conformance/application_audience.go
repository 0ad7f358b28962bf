package conformance

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/weirstream/weir/core/record"
	"github.com/weirstream/weir/core/topology"
	"github.com/weirstream/weir/runtime"
)

// An audience reads what an application gives: its outputs, and the
// changelogs of its tables.
type audience struct {
	a    *stage
	f    runtime.Fetcher
	next places
	got  Known
	// topics by their full name; a changelog by its table.
	outputs, tables map[string]string
	waiting         map[string]bool // topics that are not there yet
}

func newAudience(a *stage) *audience {
	au := &audience{
		a: a, f: a.wire.fetcher(nil), next: places{}, waiting: make(map[string]bool),
		got:     Known{Topics: make(map[string]map[string][]string), Tables: make(map[string]map[string]string)},
		outputs: make(map[string]string), tables: make(map[string]string),
	}
	want := a.run.Case.Want(nil)
	for topic := range want.Topics {
		au.outputs[a.wire.name(topic)] = topic
		au.got.Topics[topic] = make(map[string][]string)
	}
	for table := range want.Tables {
		au.tables[topology.ChangelogTopic(a.wire.name(a.run.Case.App), table)] = table
		au.got.Tables[table] = make(map[string]string)
	}
	for _, names := range []map[string]string{au.outputs, au.tables} {
		for topic := range names {
			au.waiting[topic] = true
		}
	}
	return au
}

// look starts reading topics that have come to be.
func (au *audience) look() {
	if len(au.waiting) == 0 {
		return
	}
	infos, err := au.a.wire.tr.Topics(au.a.ctx, sortedKeys(au.waiting)...)
	au.a.wire.ok(err)
	for topic, info := range infos {
		at := places{}
		for p := range info.Partitions {
			at[tp{Topic: topic, Partition: p}] = 0
		}
		au.f.Set(at)
		maps.Copy(au.next, at)
		delete(au.waiting, topic)
	}
}

// read reads on, for a moment.
func (au *audience) read() {
	au.look()
	ctx, cancel := context.WithTimeout(au.a.ctx, 20*time.Millisecond)
	defer cancel()
	batches := au.f.Poll(ctx, 0)
	for i := range batches {
		b := &batches[i]
		au.a.wire.ok(b.Err)
		for j := range b.Records {
			au.take(&b.Records[j])
		}
		au.next[b.TP] = b.Next
	}
}

func (au *audience) take(r *record.Record) {
	key := string(r.Key)
	if topic, ok := au.outputs[r.Topic]; ok {
		au.got.Topics[topic][key] = append(au.got.Topics[topic][key], string(r.Value))
		return
	}
	table := au.got.Tables[au.tables[r.Topic]]
	if r.Value == nil {
		delete(table, key)
	} else {
		table[key] = string(r.Value)
	}
}

// await reads until a result is there, or more than that.
func (au *audience) await(want Known) {
	au.a.Helper()
	for {
		au.read()
		missing := au.missing(want)
		if missing == "" {
			return
		}
		if au.a.ctx.Err() != nil {
			au.a.Logf("what there is:\n%s", au.scene())
			au.a.Fatalf("the result does not come: %s", missing)
		}
	}
}

// scene says how far everybody is, for people.
func (au *audience) scene() string {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	var b strings.Builder
	parts := slices.Collect(maps.Keys(au.next))
	for topic, n := range au.a.run.Case.Topics {
		for p := range n {
			parts = append(parts, au.a.wire.tp(topic, p))
		}
	}
	ranges, err := au.a.wire.tr.Offsets(ctx, parts)
	if err != nil {
		fmt.Fprintf(&b, "no offsets: %v\n", err)
	}
	for _, tp := range slices.SortedFunc(maps.Keys(ranges), tp.Compare) {
		fmt.Fprintf(&b, "%v holds %d to %d, read to %d\n", tp, ranges[tp].Start, ranges[tp].End, au.next[tp])
	}
	for _, w := range au.a.all {
		if w.ended != nil {
			fmt.Fprintf(&b, "worker %s, crashed %v: %+v\n", w.instance, w.isDead(), w.worker.Status(ctx))
		}
	}
	return b.String()
}

// compare reads to the ends of all topics and compares.
func (au *audience) compare(want Known) {
	au.a.Helper()
	au.look()
	ranges, err := au.a.wire.tr.Offsets(au.a.ctx, slices.Collect(maps.Keys(au.next)))
	au.a.wire.ok(err)
	behind := func() bool {
		for tp, r := range ranges {
			if au.next[tp] < r.End {
				return true
			}
		}
		return false
	}
	for behind() {
		au.read()
		au.a.wire.ok(au.a.ctx.Err())
	}
	if missing := au.missing(want); missing != "" {
		au.a.Errorf("in the end: %s", missing)
	}
	if extra := au.extra(want); extra != "" {
		au.a.Errorf("in the end: %s", extra)
	}
}

// atLeast says that this run may do more than once what it does.
func (au *audience) atLeast() bool { return au.a.run.Guarantee == runtime.AtLeastOnce }

// missing says what of a result is not there.
func (au *audience) missing(want Known) string {
	for topic, keys := range want.Topics {
		for _, key := range sortedKeys(keys) {
			if got := au.got.Topics[topic][key]; !au.hasOutputs(got, keys[key]) {
				return fmt.Sprintf("topic %s has %q of key %q; want %q", topic, got, key, keys[key])
			}
		}
	}
	for table, entries := range want.Tables {
		for _, key := range sortedKeys(entries) {
			got, ok := au.got.Tables[table][key]
			if !ok || got != entries[key] && !(au.atLeast() && au.a.run.Case.exceeds(table, got, entries[key])) {
				return fmt.Sprintf("table %s has %x of key %q; want %x", table, got, key, entries[key])
			}
		}
	}
	return ""
}

// exceeds says what Exceeds does.
func (c *ApplicationCase) exceeds(table, got, want string) bool {
	if c.Exceeds != nil {
		return c.Exceeds(table, got, want)
	}
	return !c.Idempotent && got > want // numbers are encoded in their order
}

// hasOutputs: exactly once the values are those wanted, each as often, and in
// order where values count;
// at least once all of them are among those that came, or, of values that
// count, as many.
func (au *audience) hasOutputs(got, want []string) bool {
	switch {
	case !au.atLeast() && au.a.run.Case.Idempotent:
		left := slices.Clone(got)
		return !slices.ContainsFunc(want, func(v string) bool {
			i := slices.Index(left, v)
			if i >= 0 {
				left = slices.Delete(left, i, i+1)
			}
			return i < 0
		})
	case !au.atLeast():
		return len(got) >= len(want) && slices.Equal(got[:len(want)], want)
	case !au.a.run.Case.Idempotent:
		return len(got) >= len(want) && slices.Max(got) >= slices.Max(want)
	}
	return !slices.ContainsFunc(want, func(v string) bool { return !slices.Contains(got, v) })
}

// extra says what is there beyond a result.
func (au *audience) extra(want Known) string {
	for topic, keys := range au.got.Topics {
		for _, key := range sortedKeys(keys) {
			got, right := keys[key], want.Topics[topic][key]
			wrong := func(v string) bool { return !slices.Contains(right, v) }
			switch {
			case len(right) == 0, !au.atLeast() && len(got) > len(right), au.atLeast() && au.a.run.Case.Idempotent && slices.ContainsFunc(got, wrong):
				return fmt.Sprintf("topic %s has %q of key %q; want %q", topic, got, key, right)
			}
		}
	}
	for table, entries := range au.got.Tables {
		for _, key := range sortedKeys(entries) {
			if _, ok := want.Tables[table][key]; !ok {
				return fmt.Sprintf("table %s has %x of key %q, which nobody wrote", table, entries[key], key)
			}
		}
	}
	return ""
}
