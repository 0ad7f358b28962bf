// Command chaos hurts three real brokers and the workers of the simulator's
// torture application for a while, and checks what came of it. The brokers are
// processes from the jars of WEIR_KAFKA_JARS or containers of WEIR_KAFKA_IMAGE.
// The exit status is 1 when a promise was broken.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"time"

	"github.com/weirstream/weir/integration/broker"
	"github.com/weirstream/weir/integration/chaos"
)

func main() {
	chaos.Worker()
	var cfg chaos.Config
	flag.DurationVar(&cfg.For, "for", 10*time.Minute, "how long there are faults")
	flag.IntVar(&cfg.Workers, "workers", 2, "worker processes")
	flag.IntVar(&cfg.Rate, "rate", 50, "input records a second")
	nodes := flag.Int("brokers", 3, "brokers")
	flag.Uint64Var(&cfg.Seed, "seed", uint64(time.Now().UnixNano()), "seed of faults and input")
	flag.Parse()
	res, err := run(cfg, *nodes)
	if err != nil {
		fmt.Fprintln(os.Stderr, "chaos:", err)
		os.Exit(1)
	}
	for _, v := range res.Violations {
		fmt.Println(v)
	}
	fmt.Println(res)
	if len(res.Violations) > 0 {
		os.Exit(1)
	}
}

// run starts the brokers and hurts them. The directory stays when something
// went wrong.
func run(cfg chaos.Config, nodes int) (*chaos.Result, error) {
	dir, err := os.MkdirTemp("", "weir-chaos-")
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(context.Background(), cfg.For+15*time.Minute)
	defer cancel()
	fmt.Printf("seed %d, logs and history in %s\n", cfg.Seed, dir)
	cfg.Dir, cfg.Out, cfg.Loopback = dir, os.Stdout, true
	brokers := broker.Config{Nodes: nodes, Dir: dir}
	if os.Getenv("WEIR_KAFKA_JARS") == "" {
		brokers.Image = os.Getenv("WEIR_KAFKA_IMAGE")
	}
	if cfg.Cluster, err = broker.Start(ctx, brokers); err != nil {
		return nil, err
	}
	res, err := chaos.Run(ctx, cfg)
	err = errors.Join(err, cfg.Cluster.Close())
	if err == nil && len(res.Violations) == 0 && res.Ended == 0 {
		err = os.RemoveAll(dir)
	}
	return res, err
}
