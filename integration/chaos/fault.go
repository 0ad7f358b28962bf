package chaos

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/weirstream/weir/sim/check"
)

// A Kind is a kind of fault, by the name that results print.
type Kind string

// The kinds of faults.
const (
	KillWorker    Kind = "kills"        // SIGKILL, some with an empty directory afterwards
	KillBroker    Kind = "broker-kills" // SIGKILL
	StopBroker    Kind = "broker-stops" // SIGSTOP, later SIGCONT
	CutBroker     Kind = "cuts"         // no network between clients and a broker
	IsolateBroker Kind = "isolations"   // no network between a broker and the others
)

// allKinds are the kinds in the order of results.
var allKinds = []Kind{KillWorker, KillBroker, StopBroker, CutBroker, IsolateBroker}

// Kinds are those that so many brokers and their clients can suffer: none but
// kills of workers where no broker may be hurt, no isolation of the only one.
func Kinds(brokers int) []Kind {
	switch brokers {
	case 0:
		return []Kind{KillWorker}
	case 1:
		return []Kind{KillWorker, KillBroker, StopBroker, CutBroker}
	default:
		return slices.Clone(allKinds)
	}
}

// Faults counts what happened, by kind.
type Faults map[Kind]int

// Missing are those of some kinds that never happened.
func (f Faults) Missing(kinds []Kind) []Kind {
	var none []Kind
	for _, k := range kinds {
		if f[k] == 0 {
			none = append(none, k)
		}
	}
	return none
}

func (f Faults) String() string {
	var parts []string
	for _, k := range allKinds {
		parts = append(parts, fmt.Sprintf("%s=%d", k, f[k]))
	}
	return strings.Join(parts, " ")
}

// A deck deals kinds of faults: first each one once, in any order, so that a
// short run knows all of them, and then at random.
type deck struct {
	rng   *rand.Rand
	first []Kind
	pool  []Kind // to draw from
	until time.Time
}

func newDeck(rng *rand.Rand, kinds []Kind) *deck {
	d := &deck{rng: rng, first: slices.Clone(kinds), pool: slices.Clone(kinds)}
	rng.Shuffle(len(d.first), func(i, j int) { d.first[i], d.first[j] = d.first[j], d.first[i] })
	if slices.Contains(kinds, KillWorker) {
		d.pool = append(d.pool, KillWorker, KillWorker) // what happens most
	}
	return d
}

// more reports whether faults go on: for their time, and until each kind has
// happened.
func (d *deck) more() bool { return len(d.first) > 0 || time.Now().Before(d.until) }

func (d *deck) deal() Kind {
	if len(d.first) == 0 {
		return d.pool[d.rng.IntN(len(d.pool))]
	}
	k := d.first[0]
	d.first = d.first[1:]
	return k
}

// hurt injects one fault after the other for the time that is wanted, and until
// each kind has happened.
func (r *run) hurt(ctx context.Context) error {
	d := newDeck(r.rng, r.kinds)
	d.until = time.Now().Add(r.cfg.For)
	for d.more() && pause(ctx, r.between(r.cfg.Pause/3, r.cfg.Pause)) {
		for _, p := range r.workers {
			if err := p.died(); err != nil {
				return err
			}
		}
		var err error
		if kind := d.deal(); kind == KillWorker {
			err = r.killWorker(ctx)
		} else {
			err = r.hurtBroker(ctx, kind)
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
	r.Faults[KillWorker]++
	if empty {
		if err := os.RemoveAll(p.dir); err != nil {
			return err
		}
	}
	pause(ctx, down)
	return p.start()
}
