package shop_test

import (
	"fmt"
	"math/rand/v2"
	"strconv"
	"testing"
	"time"

	"example.com/shop"

	"github.com/weirstream/weir/sim/check"
	"github.com/weirstream/weir/sim/cluster"
)

// TestVouchers runs the shop on a cluster in which things go wrong, and
// compares what it sent with what it should have sent.
func TestVouchers(t *testing.T) {
	cluster.SkipUnlessSimulated(t)
	cluster.Run(t, cluster.Config{App: shop.New, Records: 300, Load: order, Model: expected})
}

// order is the ith record of the workload.
func order(rng *rand.Rand, i int) cluster.Input {
	day := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	return cluster.Input{
		Topic: "orders",
		Key:   fmt.Appendf(nil, "customer-%d", rng.IntN(8)),
		Value: fmt.Appendf(nil, "order-%d", i),
		Time:  day.Add(time.Duration(i) * time.Minute).UnixMilli(),
	}
}

// expected is the shop in a few lines that cannot be wrong: what must come
// out, from all that went in.
func expected(in []check.Record) check.Expectation {
	counts, sent := make(map[string]int), make(map[string][]string)
	for _, r := range in {
		customer := string(r.Key)
		if counts[customer]++; counts[customer]%3 == 0 {
			sent[customer] = append(sent[customer], strconv.Itoa(counts[customer]))
		}
	}
	return check.Expectation{Ordered: map[string]map[string][]string{"vouchers": sent}}
}
