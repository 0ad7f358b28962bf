//go:build !wasip1

package app

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"
)

// A killer kills workers while they work. The flights are loaded in as many
// parts as there are kills, and one: the loader waits at the end of a part
// until the kill in it has happened, and a kill comes when what is committed
// passes a random point inside its part, or after a random time if that is
// sooner. So kills meet workers that have work, however fast they are, and
// workers that start, restore, or are in the middle of a rebalance; and
// something is left to do after the last.
type killer struct {
	d      *demo
	points []killPoint
	empty  int // the kill after which the state directory is gone
}

// A killPoint is where one kill happens.
type killPoint struct {
	at   int64         // flights processed
	gate int64         // flights loaded until it has happened
	late time.Duration // after the one before it, however little is processed
	wait time.Duration
	down time.Duration
	done chan struct{}
}

func newKiller(d *demo) *killer {
	k := &killer{d: d, points: make([]killPoint, d.o.kills), empty: d.rand.IntN(d.o.kills)}
	part := d.x.Flights / int64(d.o.kills+1)
	for i := range k.points {
		begin := int64(i) * part
		k.points[i] = killPoint{
			at:   begin + part/10 + d.rand.Int64N(part*7/10+1),
			gate: begin + part,
			late: time.Duration(d.rand.Int64N(int64(d.o.session + 2*time.Second))),
			wait: time.Duration(d.rand.Int64N(int64(40 * time.Millisecond))),
			down: time.Duration(d.rand.Int64N(int64(time.Second))),
			done: make(chan struct{}),
		}
	}
	return k
}

// gate holds the loader back.
func (k *killer) gate(ctx context.Context, n int64, flush func(context.Context) error) error {
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
	for i := range k.points {
		p := &k.points[i]
		var processed int64
		for begin := time.Now(); processed < p.at && time.Since(begin) < p.late; {
			b, err := look(ctx, k.d.t, k.d.tr)
			if err != nil {
				return err
			}
			processed = b.processed
			k.d.e.Progressf("processed %d of %d flights, %.0f/s, lag %d, %d of %d kills", processed, k.d.x.Flights,
				float64(processed)/time.Since(start).Seconds(), b.lag(), i, len(k.points))
			if err := pause(ctx, 10*time.Millisecond); err != nil {
				return err
			}
		}
		if err := k.kill(ctx, i, processed); err != nil {
			return err
		}
		close(p.done)
	}
	return nil
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

// setAside keeps the old directory, should anybody want to look at it. A worker
// that was killed early has none.
func setAside(p *process, i int) error {
	old := fmt.Sprintf("%s-before-kill-%d", filepath.Clean(p.stateDir), i+1)
	if err := os.Rename(p.stateDir, old); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}
