package aerospike

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/weirstream/weir/conformance"
	"github.com/weirstream/weir/core/store"
	"github.com/weirstream/weir/stores/aerospike/asfake"
)

// sharedVariable tells the child processes of the suite where the server is.
const sharedVariable = "WEIR_ASFAKE_ADDR"

// TestMain starts the server that outlives children that are killed.
func TestMain(m *testing.M) {
	if os.Getenv(sharedVariable) == "" {
		s, err := asfake.Start(asfake.Options{})
		if err == nil {
			err = os.Setenv(sharedVariable, s.Addr())
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	}
	os.Exit(m.Run())
}

func startFake(tb conformance.TB, o asfake.Options) *asfake.Server {
	tb.Helper()
	s, err := asfake.Start(o)
	if err != nil {
		tb.Fatalf("starting a fake server: %v", err)
	}
	tb.Cleanup(s.Close)
	return s
}

func config(addr string) Config {
	// Patient: a busy machine is not what is tested.
	return Config{Hosts: []string{addr}, Namespace: "test", Prefix: "app", Timeout: time.Minute, RetryFor: time.Minute}
}

// fakeFactory makes places that are fake servers of their own, and stores with
// hooks.
func fakeFactory(hs ...func(*hooks)) conformance.StoreFactory {
	return conformance.StoreFactory{
		Name: "aerospike",
		Can: []conformance.Capability{
			conformance.Reopens, conformance.Shared, conformance.SurvivesKill, conformance.SurvivesPowerLoss,
			conformance.ReportsFailingDisk, conformance.DetectsDamage, conformance.HealsDamage,
			conformance.LosesAnswers, conformance.LosesWrites,
		},
		OpenDir: func(dir string) (store.Store, error) {
			sum := sha256.Sum256([]byte(dir))
			c := config(os.Getenv(sharedVariable))
			c.Prefix = hex.EncodeToString(sum[:8])
			return openWith(c, hs...)
		},
		New: func(tb conformance.TB) conformance.StorePlace {
			return fakePlace(tb, startFake(tb, asfake.Options{Now: ticking()}), hs...)
		},
	}
}

// ticking returns a clock on which each look takes a millisecond.
func ticking() func() time.Time {
	var looks atomic.Int64
	return func() time.Time { return time.UnixMilli(1_700_000_000_000 + looks.Add(1)) }
}

func fakePlace(tb conformance.TB, srv *asfake.Server, hs ...func(*hooks)) conformance.StorePlace {
	cfg := config(srv.Addr())
	open := func() (store.Store, error) { return openWith(cfg, hs...) }
	hasty := func() (store.Store, error) {
		c := cfg
		c.RetryFor = 30 * time.Millisecond
		return openWith(c, hs...)
	}
	place := conformance.StorePlace{
		Open: open, OpenHasty: hasty,
		LoseAnswer:    func(l conformance.LostAnswer) func() bool { return loseAnswer(srv, l) },
		Restart:       func(seed uint64) { restart(srv, seed) },
		Damage:        func() error { return damageEntries(srv) },
		DamageEntries: func() error { return damageEntries(srv) },
		// The worker's machine loses power; the server keeps what it has.
		Crash: func(uint64) conformance.StorePlace {
			c, err := srv.CloneInHook()
			if err != nil {
				tb.Fatalf("%v", err)
			}
			tb.Cleanup(c.Close)
			return fakePlace(tb, c, hs...)
		},
		OnWrite: srv.OnWrite,
	}
	place.Fail = func(err error) {
		if err != nil {
			srv.FailInHook(asfake.DeviceOverload)
		} else {
			srv.Fail(asfake.OK)
		}
	}
	return place
}

// loseAnswer has requests carried out, or not, and their connections ended.
func loseAnswer(srv *asfake.Server, l conformance.LostAnswer) (mend func() bool) {
	writes, lost := 0, false
	remove := srv.Inject(asfake.Fault{DropBefore: !l.Applied, DropAfter: l.Applied, When: func(q asfake.Request) bool {
		if q.Write {
			writes++
		}
		now := l.Lasts && lost || q.Write && writes == l.After+1
		lost = lost || now
		return now
	}})
	return func() bool {
		remove()
		return lost
	}
}

// restart chooses among what a crash of the server may do.
func restart(srv *asfake.Server, seed uint64) {
	r := rand.New(rand.NewPCG(seed, 9))
	moment := time.Duration(1+r.IntN(400)) * time.Millisecond
	switch seed % 6 {
	case 0: // in order: only what was deleted comes back
		srv.Restart(asfake.Restart{})
	case 1:
		srv.Restart(asfake.Restart{Lose: moment})
	case 2, 3: // blocks of the device are written each by itself
		share := int(seed % 6)
		srv.Restart(asfake.Restart{Lose: moment, Keep: func(asfake.Lost) bool { return r.IntN(4) < share }})
	case 4:
		srv.Restart(asfake.Restart{Lose: time.Minute, Keep: notTombstone})
	case 5:
		srv.Wipe()
	}
}

func damageEntries(srv *asfake.Server) error {
	n := 0
	changed := srv.Damage(func(_ string, bins map[string][]byte) bool {
		n++
		_, isEntry := bins["v"]
		return isEntry && n%3 == 0
	})
	if changed == 0 {
		return errors.New("no record to damage")
	}
	return nil
}

func TestConformance(t *testing.T) {
	conformance.Store(t, fakeFactory())
}

// TestPlantedFaults shows what the suite finds around this store; what it finds
// inside is in TestMutationsAreCaught.
func TestPlantedFaults(t *testing.T) {
	t.Parallel()
	f := fakeFactory()
	f.Can = slices.DeleteFunc(f.Can, func(c conformance.Capability) bool { return c == conformance.SurvivesKill })
	f.OpenDir = nil
	conformance.StoreFaults(t, f)
}

// TestConformanceOnServer runs the suite against a real server.
func TestConformanceOnServer(t *testing.T) {
	hosts := os.Getenv("AEROSPIKE_HOSTS")
	if hosts == "" {
		t.Skip("AEROSPIKE_HOSTS is not set: no real Aerospike server to run the suite on")
	}
	namespace := os.Getenv("AEROSPIKE_NAMESPACE")
	if namespace == "" {
		namespace = "test"
	}
	cfg := config("")
	cfg.Hosts, cfg.Namespace = strings.Split(hosts, ","), namespace
	var n atomic.Int64
	conformance.Store(t, conformance.StoreFactory{
		Name: "aerospike on a server",
		Can:  []conformance.Capability{conformance.Reopens, conformance.Shared, conformance.SurvivesKill},
		OpenDir: func(dir string) (store.Store, error) {
			c, sum := cfg, sha256.Sum256([]byte(dir))
			c.Prefix = "weir-kill-" + hex.EncodeToString(sum[:8])
			return Open(c)
		},
		New: func(conformance.TB) conformance.StorePlace {
			c := cfg
			c.Prefix = fmt.Sprintf("weir-%d-%d", time.Now().Unix(), n.Add(1))
			return conformance.StorePlace{Open: func() (store.Store, error) { return Open(c) }}
		},
	})
}
