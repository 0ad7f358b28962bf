package main

import (
	"cmp"
	"fmt"
	"os"
	"time"

	"github.com/weirstream/weir/core/store"
	"github.com/weirstream/weir/examples/flights/app"
	"github.com/weirstream/weir/runtime/cli"
	"github.com/weirstream/weir/stores/aerospike"
	"github.com/weirstream/weir/stores/aerospike/asfake"
)

func aerospikeStore() app.Store {
	return app.Store{Name: "aerospike", Open: openAerospike, Settings: aerospike.Settings(), Prepare: prepareAerospike}
}

func openAerospike(c cli.StoreConfig) (store.Store, error) {
	cfg, err := aerospike.Configure(c.App, c.Settings)
	if err != nil {
		return nil, err
	}
	cfg.Logger, cfg.MemoryBytes = c.Logger, int64(c.MemoryBytes)
	return aerospike.Open(cfg)
}

// prepareAerospike starts a fake server when there is no real one, and sees to
// it that nothing of another demo is found.
func prepareAerospike() (env []string, stop func(), err error) {
	env = []string{fmt.Sprintf("WEIR_AEROSPIKE_PREFIX=demo-%d", time.Now().UnixNano())}
	if hosts := cmp.Or(os.Getenv("WEIR_AEROSPIKE_HOSTS"), os.Getenv("AEROSPIKE_HOSTS")); hosts != "" {
		namespace := cmp.Or(os.Getenv("WEIR_AEROSPIKE_NAMESPACE"), os.Getenv("AEROSPIKE_NAMESPACE"), "test")
		return append(env, "WEIR_AEROSPIKE_HOSTS="+hosts, "WEIR_AEROSPIKE_NAMESPACE="+namespace), func() {}, nil
	}
	s, err := asfake.Start(asfake.Options{})
	if err != nil {
		return nil, nil, err
	}
	return append(env, "WEIR_AEROSPIKE_HOSTS="+s.Addr(), "WEIR_AEROSPIKE_NAMESPACE=test"), s.Close, nil
}
