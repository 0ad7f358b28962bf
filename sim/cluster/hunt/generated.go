package hunt

import (
	"encoding/binary"
	"math/rand/v2"
	"strconv"
	"strings"

	"github.com/weirstream/weir"
	"github.com/weirstream/weir/core/record"
	"github.com/weirstream/weir/core/topology"
	"github.com/weirstream/weir/sim/check"
	"github.com/weirstream/weir/sim/cluster"
	"github.com/weirstream/weir/sim/generate"
)

// begin is the event time of the first record: 1 January 2026, UTC.
const begin = 1767225600000

func encode(v int64) []byte { return binary.BigEndian.AppendUint64(nil, uint64(v)^1<<63) }
func decode(b []byte) int64 { return int64(binary.BigEndian.Uint64(b) ^ 1<<63) }

// generated is the run of an application that was drawn.
func generated(p generate.Plan) cluster.Config {
	cfg := cluster.Config{
		App:             func() *weir.App { return generate.Build(p).App },
		Partitions:      int32(p.Partitions),
		TopicPartitions: make(map[string]int32),
		Model:           func(in []check.Record) check.Expectation { return expect(p, in) },
		// The stream time of a generated application advances by some
		// seconds with each record, to cross windows and timers.
		Load: func(rng *rand.Rand, i int) cluster.Input {
			k := rng.Int64N(5)
			return cluster.Input{
				Topic: "in" + strconv.Itoa(rng.IntN(p.Sources)),
				Key:   []byte("k" + strconv.FormatInt(k, 10)),
				Value: encode(int64(i+1)*1000 + k*100 + rng.Int64N(100)),
				Time:  begin + int64(i)*2000 + rng.Int64N(2000) - rng.Int64N(3)*rng.Int64N(12)*1000,
			}
		},
	}
	f := generate.Build(p)
	for _, t := range f.Outs {
		cfg.TopicPartitions[t.Name()] = 2
	}
	if f.Dims != nil {
		cfg.TopicPartitions["dims"] = 2
		for _, d := range []string{"d0", "d1", "d2"} {
			cfg.Before = append(cfg.Before, cluster.Input{Topic: "dims", Key: []byte(d), Value: encode(generate.DimValue(d)), Time: begin})
		}
	}
	return cfg
}

// expect turns what the model says into bytes.
func expect(p generate.Plan, in []check.Record) check.Expectation {
	m := generate.NewModel(p)
	parts := make(map[int]map[int32][]record.Record)
	for _, r := range in {
		i, err := strconv.Atoi(strings.TrimPrefix(r.Topic, "in"))
		if err != nil {
			continue // the topic of a global table
		}
		if parts[i] == nil {
			parts[i] = make(map[int32][]record.Record)
		}
		parts[i][r.Partition] = append(parts[i][r.Partition], record.Record{Topic: r.Topic, Partition: r.Partition, Offset: r.Offset, Time: r.Time, Key: r.Key, Value: r.Value})
	}
	for i := range p.Sources {
		for part := range int32(p.Partitions) {
			m.Partition(i, parts[i][part], func(r record.Record) (string, int64) { return string(r.Key), decode(r.Value) })
		}
	}
	x := check.Expectation{Ordered: make(map[string]map[string][]string), Tables: make(map[string]map[string]string), Approximate: make(map[string]bool)}
	f := generate.Build(p)
	for _, t := range f.Outs {
		x.Ordered[t.Name()] = make(map[string][]string)
		for k, vs := range m.Outs[t.Name()] {
			for _, v := range vs {
				x.Ordered[t.Name()][k] = append(x.Ordered[t.Name()][k], string(encode(v)))
			}
		}
		x.Approximate[t.Name()] = timed(t.Name())
	}
	table := func(name string, key func(string) string) {
		x.Tables[name] = make(map[string]string)
		for k, v := range m.Tables[name] {
			x.Tables[name][key(k)] = string(encode(v))
		}
		x.Approximate[name] = timed(name)
	}
	for _, t := range f.Tables {
		table(t.Name(), func(k string) string { return k })
	}
	for _, t := range f.Windows {
		table(t.Name(), storedKey)
	}
	return x
}

// storedKey is the key of a window's entry as stores have it.
func storedKey(k string) string {
	start, key, _ := strings.Cut(k, "|")
	ms, _ := strconv.ParseInt(start, 10, 64)
	return string(topology.AppendWindowStart(nil, ms)) + key
}

// timed reports whether something depends on when, and how often, records
// were handled, which at-least-once leaves open.
func timed(name string) bool {
	for _, p := range []string{"windows-", "fires-", "fired-", "closed-", "late-", "last-"} {
		if strings.HasPrefix(name, p) {
			return true
		}
	}
	return false
}
