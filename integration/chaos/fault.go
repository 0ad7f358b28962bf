package chaos

import (
	"context"
	"errors"
	"os"
	"time"

	"github.com/weirstream/weir/sim/check"
)

func (r *run) between(from, to time.Duration) time.Duration {
	return from + time.Duration(r.rng.Int64N(int64(to-from)))
}

// hurt injects one fault after the other until ctx ends. At most one broker is
// hurt at a time, as three brokers stand one.
func (r *run) hurt(ctx context.Context) error {
	for pause(ctx, r.between(r.cfg.Pause/3, r.cfg.Pause)) {
		for _, p := range r.workers {
			if err := p.died(); err != nil {
				return err
			}
		}
		kind := 0
		if r.cfg.Cluster != nil {
			kind = r.rng.IntN(7)
		}
		var err error
		switch kind {
		case 3:
			err = r.killBroker(ctx)
		case 4:
			err = r.stopBroker(ctx)
		case 5:
			r.cut(ctx)
		case 6:
			err = r.isolate(ctx)
		default:
			err = r.killWorker(ctx)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (r *run) notef(format string, args ...any) {
	text := time.Now().UTC().Format("15:04:05 ") + sprintf(format, args...)
	r.h.Add(check.Event{Kind: check.Fault, Note: text})
	r.sayf("%s", text)
}

func (r *run) killWorker(ctx context.Context) error {
	p := r.workers[r.rng.IntN(len(r.workers))]
	down, empty := r.between(0, 3*time.Second), r.rng.IntN(4) == 0
	if err := p.died(); err != nil {
		return err
	}
	r.notef("SIGKILL %s, down for %v, empty disk: %t", p.life, down.Round(time.Millisecond), empty)
	p.kill("SIGKILL")
	r.Kills++
	if empty {
		if err := os.RemoveAll(p.dir); err != nil {
			return err
		}
	}
	pause(ctx, down)
	return p.start()
}

func (r *run) killBroker(ctx context.Context) error {
	i := r.rng.IntN(len(r.cfg.Cluster.Nodes))
	n, down := r.cfg.Cluster.Nodes[i], r.between(0, 10*time.Second)
	r.notef("SIGKILL broker %d, down for %v", i+1, down.Round(time.Millisecond))
	n.Kill()
	r.BrokerKills++
	pause(ctx, down)
	if err := n.Start(); err != nil {
		return err
	}
	// Hurting the next one before this one is back would be two at once.
	wait, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Minute)
	defer cancel()
	return r.whole(wait)
}

func (r *run) stopBroker(ctx context.Context) error {
	i := r.rng.IntN(len(r.cfg.Cluster.Nodes))
	n, down := r.cfg.Cluster.Nodes[i], r.between(500*time.Millisecond, 12*time.Second)
	r.notef("SIGSTOP broker %d for %v", i+1, down.Round(time.Millisecond))
	if err := n.Pause(); err != nil {
		return err
	}
	r.Stops++
	pause(ctx, down)
	if err := n.Resume(); err != nil {
		return err
	}
	wait, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Minute)
	defer cancel()
	return r.whole(wait)
}

func (r *run) cut(ctx context.Context) {
	i := r.rng.IntN(len(r.cfg.Cluster.Nodes))
	n, down := r.cfg.Cluster.Nodes[i], r.between(500*time.Millisecond, 15*time.Second)
	r.notef("no network between workers and broker %d for %v", i+1, down.Round(time.Millisecond))
	n.Cut()
	r.Cuts++
	pause(ctx, down)
	n.Mend()
}

// isolate cuts a broker off from the others; its clients still reach it.
func (r *run) isolate(ctx context.Context) error {
	if len(r.cfg.Cluster.Nodes) == 1 {
		r.cut(ctx)
		return nil
	}
	i := r.rng.IntN(len(r.cfg.Cluster.Nodes))
	n, down := r.cfg.Cluster.Nodes[i], r.between(500*time.Millisecond, 15*time.Second)
	r.notef("no network between broker %d and the others for %v", i+1, down.Round(time.Millisecond))
	if err := n.Isolate(); err != nil {
		return err
	}
	r.Cuts++
	pause(ctx, down)
	if err := n.Reunite(); err != nil {
		return err
	}
	wait, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Minute)
	defer cancel()
	return r.whole(wait)
}

// whole waits until every partition has all its replicas in sync.
func (r *run) whole(ctx context.Context) error {
	for {
		md, err := r.adm.Metadata(ctx)
		if err == nil && len(md.Brokers) == len(r.cfg.Cluster.Nodes) {
			behind := 0
			for _, t := range md.Topics {
				for _, p := range t.Partitions {
					if len(p.ISR) < len(p.Replicas) {
						behind++
					}
				}
			}
			if behind == 0 {
				return nil
			}
		}
		if !pause(ctx, 250*time.Millisecond) {
			return errors.Join(errors.New("the brokers do not get whole again"), err)
		}
	}
}
