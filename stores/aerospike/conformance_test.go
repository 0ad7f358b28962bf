package aerospike

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
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

// fakeFactory makes places that are fake servers of their own.
func fakeFactory() conformance.StoreFactory {
	return conformance.StoreFactory{
		Name: "aerospike",
		Can: []conformance.Capability{
			conformance.Reopens, conformance.Shared, conformance.SurvivesKill,
			conformance.ReportsFailingDisk, conformance.DetectsDamage, conformance.HealsDamage,
		},
		OpenDir: func(dir string) (store.Store, error) {
			sum := sha256.Sum256([]byte(dir))
			c := config(os.Getenv(sharedVariable))
			c.Prefix = hex.EncodeToString(sum[:8])
			return Open(c)
		},
		New: func(tb conformance.TB) conformance.StorePlace {
			srv := startFake(tb, asfake.Options{})
			cfg := config(srv.Addr())
			return conformance.StorePlace{
				Open: func() (store.Store, error) { return Open(cfg) },
				OnWrite: func(before func()) {
					// A server that fails does so for long: do not wait.
					cfg.RetryFor = 10 * time.Millisecond
					srv.OnWrite(before)
				},
				Fail: func(err error) {
					if err != nil {
						srv.FailInHook(asfake.DeviceOverload)
					} else {
						cfg.RetryFor = time.Minute
						srv.Fail(asfake.OK)
					}
				},
				Damage:        func() error { return damageEntries(srv) },
				DamageEntries: func() error { return damageEntries(srv) },
			}
		},
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

// TestPlantedFaults shows what the suite finds; what this store's own tests find is in
// TestMutationsAreCaught.
func TestPlantedFaults(t *testing.T) {
	t.Parallel()
	f := fakeFactory()
	f.Can, f.OpenDir = []conformance.Capability{conformance.Reopens, conformance.Shared}, nil
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
