package torture

import (
	"fmt"
	"math/rand/v2"
	"strconv"
	"sync/atomic"

	"github.com/weirstream/weir"
	"github.com/weirstream/weir/sim/check"
	"github.com/weirstream/weir/sim/cluster"
)

// begin is the event time of the first record: 1 January 2026, UTC.
const begin = 1767225600000

// Load makes the ith record: mostly in order of event time, some late, some at
// the same time, some far ahead, some that cannot be decoded, and some facts
// and the end of facts.
func Load(rng *rand.Rand, i int) cluster.Input {
	k := rng.IntN(10)
	at := int64(begin + i*150)
	switch rng.IntN(20) {
	case 0:
		at -= rng.Int64N(40_000)
	case 1, 2, 3:
		at -= at % 1000
	case 4:
		at += rng.Int64N(5_000)
	case 5:
		if rng.IntN(10) == 0 {
			at += 20_000 // drags the stream time along: what follows is late
		}
	}
	in := cluster.Input{Topic: "events", Key: []byte(keyName(k)), Value: encode(int64(i)*1000 + int64(k)*100 + rng.Int64N(100)), Time: at}
	if rng.IntN(10) == 0 {
		in.Topic, in.Key = "facts", []byte("f"+strconv.Itoa(k))
		if rng.IntN(3) == 0 {
			in.Value = nil
		}
		return in
	}
	if rng.IntN(100) == 0 {
		in.Value = []byte(fmt.Sprintf("poison-%d", i))
	}
	return in
}

// closing says how windows are sent; see app.windows.
var closing = check.Windows{
	Source: "events", Closed: "closed", Late: "late",
	Size: windowSize.Milliseconds(), Grace: grace.Milliseconds(),
	Skip: func(r check.Record) bool {
		_, ok := decode(r.Value)
		return !ok
	},
	Start: func(r check.Record) (int64, bool) {
		v, ok := decode(r.Value)
		return v / 1000, ok
	},
}

// Config is the whole: application, workload and model.
func Config() cluster.Config {
	panics, stalls := new(atomic.Int64), new(atomic.Int64)
	var dims []cluster.Input
	for d := range 3 {
		dims = append(dims, cluster.Input{Topic: "dims", Key: []byte("d" + strconv.Itoa(d)), Value: encode(int64(d)), Time: begin})
	}
	return cluster.Config{
		App:             func() *weir.App { return declare(panics, stalls) },
		Panics:          panics,
		Stalls:          stalls,
		Before:          dims,
		Load:            Load,
		Model:           Model,
		Receipts:        "receipts",
		Dead:            "dead",
		Sources:         []string{"events"},
		Once:            []string{"closed", "fired"},
		Windows:         []check.Windows{closing},
		TopicPartitions: map[string]int32{"dims": 2, "facts": 2},
	}
}
