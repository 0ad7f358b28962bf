package app

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/weirstream/weir/runtime/cli"
)

// A killer kills workers while they work. The flights are loaded in as many
// parts as there are kills, and one: the loader waits at the end of a part
// until the kill in it has happened, and a kill comes when what is committed
// passes a random point inside its part. So every kill meets workers that have
// work, however fast they are, and something is left to do after the last.
//
// With calm set the loader waits at the end of a part also until the group has
// settled: all workers are members and have partitions, and the killed one is
// not a member any more. The development broker needs that: it forgets to
// answer members whose session ends while they wait for a rebalance, and keeps
// one that is killed in that state until the rebalance timeout.
type killer struct {
	d      *demo
	points []killPoint
	empty  int // the kill after which the state directory is gone
	calm   bool
	begin  chan struct{} // closed when loading may begin
}

// A killPoint is where one kill happens.
type killPoint struct {
	at   int64 // flights processed
	gate int64 // flights loaded until it has happened
	wait time.Duration
	down time.Duration
	done chan struct{}
}

func newKiller(d *demo) *killer {
	k := &killer{d: d, points: make([]killPoint, d.o.kills), empty: d.rand.IntN(d.o.kills), calm: d.o.calm, begin: make(chan struct{})}
	part := d.x.flights / int64(d.o.kills+1)
	for i := range k.points {
		begin := int64(i) * part
		k.points[i] = killPoint{
			at:   begin + part/10 + d.rand.Int64N(part*7/10+1),
			gate: begin + part,
			wait: time.Duration(d.rand.Int64N(int64(40 * time.Millisecond))),
			down: time.Duration(d.rand.Int64N(int64(time.Second))),
			done: make(chan struct{}),
		}
	}
	return k
}

// gate holds the loader back.
func (k *killer) gate(ctx context.Context, n int64, flush func(context.Context) error) error {
	if n == 0 {
		return await(ctx, k.begin)
	}
	for i := range k.points {
		if p := &k.points[i]; n == p.gate {
			if err := flush(ctx); err != nil {
				return err
			}
			return await(ctx, p.done)
		}
	}
	return nil
}

// await waits until c is closed.
func await(ctx context.Context, c <-chan struct{}) error {
	select {
	case <-c:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// run kills at each point.
func (k *killer) run(ctx context.Context) error {
	start := time.Now()
	if err := k.settle(ctx); err != nil {
		return err
	}
	close(k.begin)
	for i := range k.points {
		p := &k.points[i]
		var processed int64
		for processed < p.at {
			b, err := look(ctx, k.d.t, k.d.tr)
			if err != nil {
				return err
			}
			processed = b.processed
			k.d.e.Progressf("processed %d of %d flights, %.0f/s, lag %d, %d of %d kills", processed, k.d.x.flights,
				float64(processed)/time.Since(start).Seconds(), b.lag(), i, len(k.points))
			if err := pause(ctx, 10*time.Millisecond); err != nil {
				return err
			}
		}
		if err := k.kill(ctx, i, processed); err != nil {
			return err
		}
		if err := k.settle(ctx); err != nil {
			return err
		}
		close(p.done)
	}
	return nil
}

// settle waits until the group is calm, if it has to be.
func (k *killer) settle(ctx context.Context) error {
	if !k.calm {
		return nil
	}
	for {
		ok, err := k.settled(ctx)
		if ok || err != nil {
			return err
		}
		if err := pause(ctx, 50*time.Millisecond); err != nil {
			return err
		}
	}
}

func (k *killer) settled(ctx context.Context) (bool, error) {
	groups, err := cli.Groups(k.d.tr)
	if err != nil {
		return false, err
	}
	members, err := groups.GroupMembers(ctx, k.d.t.App)
	if err != nil {
		return false, err
	}
	partitions, busy := 0, 0
	for _, m := range members {
		if partitions += len(m.Assigned); len(m.Assigned) > 0 {
			busy++
		}
	}
	all := topicPartitions * len(k.d.t.Sources())
	return len(members) == len(k.d.crew.workers) && busy == min(len(members), all) && partitions == all, nil
}

// kill kills a worker and starts it again, once with an empty directory.
func (k *killer) kill(ctx context.Context, i int, processed int64) error {
	p := &k.points[i]
	if err := pause(ctx, p.wait); err != nil {
		return err
	}
	c := k.d.crew
	victim := c.workers[k.d.rand.IntN(len(c.workers))]
	if err := c.kill(victim); err != nil {
		return err
	}
	how := "its old directory"
	if i == k.empty {
		how = "an empty directory"
		if err := setAside(victim, i); err != nil {
			return err
		}
	}
	k.d.sayf("kill %d of %d: %s, at %d flights; starting it again in %v with %s", i+1, len(k.points), victim.name, processed, p.down.Round(time.Millisecond), how)
	if err := pause(ctx, p.down); err != nil {
		return err
	}
	return c.launch(victim)
}

// setAside keeps the old directory, should anybody want to look at it.
func setAside(p *process, i int) error {
	old := fmt.Sprintf("%s-before-kill-%d", filepath.Clean(p.stateDir), i+1)
	return os.Rename(p.stateDir, old)
}
