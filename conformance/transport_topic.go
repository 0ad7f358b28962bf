package conformance

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"

	"github.com/weirstream/weir/core/record"
	"github.com/weirstream/weir/core/store"
	"github.com/weirstream/weir/runtime"
)

func topicChecks() []TransportCheck {
	return []TransportCheck{
		transportCheck("topic/describe", checkTopics),
		transportCheck("topic/wrong-settings", checkWrongSettings),
		transportCheck("topic/delete-by-policy", checkDeleteByPolicy),
		transportCheck("topic/key-wanted", checkKeyWanted),
		transportCheck("topic/names", checkNames),
		transportCheck("topic/made-anew", checkTopicMadeAnew),
		transportCheck("topic/many-partitions", checkManyPartitions),
		transportCheck("use/concurrent", checkConcurrentUse),
		transportCheck("use/close", checkTransportClose),
	}
}

func checkTopics(s *wire) {
	in, table := s.name("in"), s.name("table")
	created, err := s.tr.CreateTopics(s.ctx, map[string]runtime.TopicSpec{
		table:          {Partitions: 1, Replicas: -1, Config: map[string]string{"cleanup.policy": "compact"}},
		in:             {Partitions: 4, Replicas: 1}, // is there
		s.name("new"):  {Partitions: 1, Replicas: 1},
		s.name("none"): {Partitions: 0, Replicas: 1},
	})
	if err == nil || !strings.Contains(err.Error(), s.name("none")) || !slices.Equal(created, []string{s.name("new"), table}) {
		s.Fatalf("created %v, %v", created, err)
	}
	created, err = s.tr.CreateTopics(s.ctx, nil)
	s.ok(err)
	if len(created) > 0 {
		s.Fatalf("created %v for nothing", created)
	}
	infos, err := s.tr.Topics(s.ctx, in, table, s.name("absent"))
	s.ok(err)
	if len(infos) != 2 || infos[in].Partitions != 4 || infos[in].Replicas != 1 || infos[table].Config["cleanup.policy"] != "compact" {
		s.Fatalf("described as %+v", infos)
	}
	for _, key := range []string{"cleanup.policy", "retention.ms", "retention.bytes"} {
		if infos[in].Config[key] == "" {
			s.Fatalf("no %s in %v", key, infos[in].Config)
		}
	}
	all, err := s.tr.Topics(s.ctx)
	s.ok(err)
	maps.DeleteFunc(all, func(name string, _ runtime.TopicInfo) bool { return !strings.HasPrefix(name, s.place.Prefix) })
	if len(all) != 4 {
		s.Fatalf("all topics: %v", sortedKeys(all))
	}
	for range 2 {
		s.ok(s.tr.DeleteTopic(s.ctx, table))
	}
	infos, err = s.tr.Topics(s.ctx, table)
	s.ok(err)
	if len(infos) != 0 {
		s.Fatalf("a deleted topic is still there: %v", infos)
	}
}

// checkWrongSettings: topics that are not as the application wants them are
// shown as they are, which is what a worker goes by, and what cannot be is
// refused at once.
func checkWrongSettings(s *wire) {
	s.topic("kept", 3, "cleanup.policy", "delete", "retention.ms", "86400000")
	info, err := s.tr.Topics(s.ctx, s.name("kept"))
	s.ok(err)
	if got := info[s.name("kept")]; got.Partitions != 3 || got.Config["cleanup.policy"] != "delete" || got.Config["retention.ms"] != "86400000" {
		s.Fatalf("described as %+v", got)
	}
	// Another shape does not change the one that is there.
	s.creates(false, "kept", runtime.TopicSpec{Partitions: 5, Replicas: 1, Config: map[string]string{"cleanup.policy": "compact"}})
	again, err := s.tr.Topics(s.ctx, s.name("kept"))
	s.ok(err)
	if got := again[s.name("kept")]; got.Partitions != 3 || got.Config["cleanup.policy"] != "delete" {
		s.Fatalf("after it was created again: %+v", got)
	}
	s.refuses("none", runtime.TopicSpec{Partitions: 0, Replicas: 1})
	if _, err := s.tr.Offsets(s.ctx, []tp{s.tp("in", 9)}); err == nil || s.ctx.Err() != nil {
		s.Fatalf("offsets of a partition that does not exist: %v", err)
	}
}

// checkKeyWanted: a compacted log takes no record without a key; the round is
// aborted.
func checkKeyWanted(s *wire) {
	s.topic("table", 1, "cleanup.policy", "compact")
	p := s.producer("p")
	s.commit(p, runtime.Aborted, runtime.Commit{Records: [][]record.Record{s.words("out", 0, "x"), {{Topic: s.name("table"), Value: []byte("v")}}}})
	s.send(p, s.words("out", 0, "y"))
	s.holds(s.tp("out", 0), "y")
}

// checkDeleteByPolicy: records of a compacted topic cannot be deleted; that
// is passed over in silence.
func checkDeleteByPolicy(s *wire) {
	s.topic("table", 1, "cleanup.policy", "compact")
	s.send(s.producer("p"), s.words("table", 0, "a b"))
	s.ok(s.tr.DeleteRecords(s.ctx, places{s.tp("table", 0): 2}))
	s.holds(s.tp("table", 0), "a b")
}

// checkNames: names that Kafka does not take are refused.
func checkNames(s *wire) {
	for _, name := range []string{"two words", "sl/ash", "ümlaut", strings.Repeat("x", 250)} {
		s.refuses(name, runtime.TopicSpec{Partitions: 1, Replicas: 1})
	}
}

// checkTopicMadeAnew deletes a topic and makes it again: nothing of the old
// one is left, and its identity is another, unless topics have none. A producer
// that knew the old one may abort a round over it.
func checkTopicMadeAnew(s *wire) {
	at := s.tp("table", 0)
	p := s.producer("p")
	var before store.LogID
	for round := range 2 {
		s.topic("table", 1)
		now := s.identified(at).Topic
		if other := s.identified(s.tp("out", 0)).Topic; now != (store.LogID{}) && (now == before || now == other) {
			s.Fatalf("round %d: the new topic is %s, the one before was %s, another one is %s", round, now, before, other)
		}
		before = now
		if r := s.bounds(at); r != (runtime.LogRange{}) {
			s.Fatalf("round %d: a new topic holds %+v", round, r)
		}
		for aborted := true; aborted; {
			res := p.Commit(s.ctx, runtime.Commit{Records: [][]record.Record{s.words("table", 0, "a b c"), s.words("out", 0, "x")}})
			if aborted = res.Outcome == runtime.Aborted; aborted && round == 0 || s.ctx.Err() != nil || !aborted && res.Outcome != runtime.Committed {
				s.Fatalf("round %d: %v, %v", round, res.Outcome, res.Err)
			}
		}
		s.holds(at, "a b c")
		s.ok(s.tr.DeleteTopic(s.ctx, at.Topic))
	}
}

// checkManyPartitions writes to 100 partitions in one round and reads them all
// with one fetcher and a limit.
func checkManyPartitions(s *wire) {
	const n = 100
	s.topic("wide", n)
	p := s.producer("p")
	var round [][]record.Record
	at, want := places{}, places{}
	for i := range int32(n) {
		round = append(round, s.words("wide", i, fmt.Sprintf("a%d b%d", i, i)))
		at[s.tp("wide", i)], want[s.tp("wide", i)] = 0, 6
	}
	for range 2 {
		res := s.send(p, round...)
		if len(res.Next) != n {
			s.Fatalf("next offsets of %d partitions", len(res.Next))
		}
	}
	// Markers may come a little after a commit was answered: who has read up
	// to them has seen them.
	got := s.read(s.fetcher(at), want)
	ranges, err := s.tr.Offsets(s.ctx, slices.Collect(maps.Keys(at)))
	s.ok(err)
	for tp := range at {
		if r := ranges[tp]; r.Start != 0 || r.End != 6 || r.Topic != ranges[s.tp("wide", 0)].Topic {
			s.Fatalf("%v holds %+v", tp, ranges[tp])
		}
	}
	for i := range int32(n) {
		keys := []string{fmt.Sprint("a", i), fmt.Sprint("b", i)}
		if !slices.Equal(got[s.tp("wide", i)].keys, slices.Concat(keys, keys)) {
			s.Fatalf("partition %d: %v", i, got[s.tp("wide", i)])
		}
	}
}

// checkConcurrentUse: producers, readers and questions at the same time over
// one transport. Each producer's records keep their order, and rounds are
// whole.
func checkConcurrentUse(s *wire) {
	const producers, rounds = 5, 8
	var wg sync.WaitGroup
	for i := range producers {
		p := s.producer([]string{"p", "q", "r", "", ""}[i])
		wg.Go(func() {
			for n := range rounds {
				text := fmt.Sprintf("%d-%d-a %d-%d-b", i, n, i, n)
				res := p.Commit(s.ctx, runtime.Commit{Records: [][]record.Record{s.words("out", 0, text), s.words("out", 1, text)}})
				if res.Outcome != runtime.Committed {
					s.Errorf("producer %d, round %d: %v, %v", i, n, res.Outcome, res.Err)
					return
				}
			}
		})
		wg.Go(func() {
			for range rounds {
				_, err := s.tr.Topics(s.ctx, s.name("in"))
				if err == nil {
					_, err = s.tr.Offsets(s.ctx, []tp{s.tp("in", 0)})
				}
				if err != nil {
					s.Errorf("asking: %v", err)
					return
				}
			}
		})
	}
	wg.Wait()
	for part := range int32(2) {
		got := s.readFrom(s.tp("out", part), 0, s.end(s.tp("out", part)))
		for i := range producers {
			var mine, want []string
			for _, key := range got {
				if strings.HasPrefix(key, fmt.Sprint(i, "-")) {
					mine = append(mine, key)
				}
			}
			for n := range rounds {
				want = append(want, fmt.Sprintf("%d-%d-a", i, n), fmt.Sprintf("%d-%d-b", i, n))
			}
			if !slices.Equal(mine, want) {
				s.Fatalf("producer %d wrote %v", i, mine)
			}
		}
	}
}

func checkTransportClose(s *wire) {
	tr, err := s.place.Connect()
	s.ok(err)
	m := s.join(tr)
	m.waitOwned(4)
	p := s.producerOf(tr, "p")
	f, err := tr.Fetcher(runtime.FetchConfig{})
	s.ok(err)
	f.Set(places{s.tp("in", 0): 0})
	polled := make(chan []runtime.Batch, 1)
	go func() { polled <- f.Poll(s.ctx, 0) }()
	s.owners.leaves(m.name)
	s.ok(tr.Close())
	if got := receive(s, polled, "Poll"); len(got) != 0 {
		s.Fatalf("a closed transport reads %v", got)
	}
	s.ok(s.ctx.Err())
	s.commit(p, runtime.Aborted, runtime.Commit{Records: [][]record.Record{s.words("out", 0, "a")}})
	_, errTopics := tr.Topics(s.ctx)
	_, errProducer := tr.Producer(s.ctx, s.name("p"))
	_, errFetcher := tr.Fetcher(runtime.FetchConfig{})
	_, errJoin := tr.Join(s.ctx, runtime.GroupConfig{Group: s.name("g"), Topics: []string{s.name("in")}, Assignor: evenly{}}, m)
	for what, err := range map[string]error{"Topics": errTopics, "Producer": errProducer, "Fetcher": errFetcher, "Join": errJoin} {
		if err == nil || s.ctx.Err() != nil {
			s.Fatalf("a closed transport answers %s: %v", what, err)
		}
	}
	s.join(s.tr).waitOwned(4) // it left its group
}
