package main

import (
	"cmp"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/weirstream/weir/core/store"
	"github.com/weirstream/weir/examples/flights/app"
	"github.com/weirstream/weir/runtime/cli"
	"github.com/weirstream/weir/stores/aerospike"
	"github.com/weirstream/weir/stores/aerospike/asfake"
	"github.com/weirstream/weir/stores/memory"
)

// Where the servers are, in the environment.
const (
	hostsVariable     = "AEROSPIKE_HOSTS"
	namespaceVariable = "AEROSPIKE_NAMESPACE"
	prefixVariable    = "AEROSPIKE_PREFIX"
)

func aerospikeStore() app.Store {
	return app.Store{Name: "aerospike", Open: openAerospike, Prepare: prepareAerospike}
}

func openAerospike(cfg cli.StoreConfig) (store.Store, error) {
	hosts := os.Getenv(hostsVariable)
	if hosts == "" {
		return nil, fmt.Errorf("%s is not set: name the servers as host:port, separated by commas", hostsVariable)
	}
	s, err := aerospike.Open(aerospike.Config{
		Hosts: strings.Split(hosts, ","), Namespace: cmp.Or(os.Getenv(namespaceVariable), "test"),
		Prefix: cmp.Or(os.Getenv(prefixVariable), "flights"), Logger: cfg.Logger,
	})
	if err != nil {
		return nil, err
	}
	return &split{Store: s, local: memory.New()}, nil
}

// prepareAerospike starts a fake server when there is no real one, and sees to
// it that nothing of another demo is found.
func prepareAerospike() (env []string, stop func(), err error) {
	env = []string{fmt.Sprintf("%s=demo-%d", prefixVariable, time.Now().UnixNano())}
	if os.Getenv(hostsVariable) != "" {
		return env, func() {}, nil
	}
	s, err := asfake.Start(asfake.Options{})
	if err != nil {
		return nil, nil, err
	}
	return append(env, hostsVariable+"="+s.Addr(), namespaceVariable+"=test"), s.Close, nil
}
