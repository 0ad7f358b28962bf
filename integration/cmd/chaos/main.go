// Command chaos hurts three real brokers and the workers of the simulator's
// torture application for a while, and checks what came of it. The brokers are
// processes from the jars of WEIR_KAFKA_JARS or containers of WEIR_KAFKA_IMAGE.
// The exit status is 1 when a promise was broken, when a worker ended by itself,
// and when there is nothing to conclude: no input, or in five minutes or more no
// fault of some kind.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/weirstream/weir/integration/broker"
	"github.com/weirstream/weir/integration/chaos"
)

func main() {
	chaos.Worker()
	var cfg chaos.Config
	flag.DurationVar(&cfg.For, "for", 10*time.Minute, "how long there are faults, or longer until each kind has happened")
	flag.IntVar(&cfg.Workers, "workers", 2, "worker processes")
	flag.IntVar(&cfg.Rate, "rate", 50, "input records a second")
	nodes := flag.Int("brokers", 3, "brokers")
	flag.Uint64Var(&cfg.Seed, "seed", uint64(time.Now().UnixNano()), "seed of faults and input")
	flag.Parse()
	if err := validate(cfg, *nodes); err != nil {
		fmt.Fprintln(os.Stderr, "chaos:", err)
		os.Exit(2)
	}
	res, wrong, err := run(cfg, *nodes)
	if err != nil {
		fmt.Fprintln(os.Stderr, "chaos:", err)
		os.Exit(1)
	}
	for _, v := range res.Violations {
		fmt.Println(v)
	}
	fmt.Println(res)
	if len(res.Violations) > 0 && len(res.Skipped) > 0 {
		fmt.Fprintf(os.Stderr, "chaos: Kafka left transactions open, so that the violations may be its own (docs/integration.md):\n%s\n", strings.Join(res.Skipped, "\n"))
	}
	for _, w := range wrong {
		fmt.Fprintln(os.Stderr, "chaos:", w)
	}
	if len(res.Violations)+len(wrong) > 0 {
		os.Exit(1)
	}
}

func validate(cfg chaos.Config, nodes int) error {
	var errs []error
	if nodes < 1 || cfg.Workers < 1 || cfg.Rate < 1 {
		errs = append(errs, errors.New("--brokers, --workers and --rate must be at least 1"))
	}
	if cfg.For <= 0 {
		errs = append(errs, errors.New("--for must be longer than 0"))
	}
	return errors.Join(errs...)
}

// expected are the kinds of faults that such a run cannot do without.
func expected(cfg chaos.Config, nodes int) []chaos.Kind {
	if cfg.For < 5*time.Minute {
		return nil
	}
	return chaos.Kinds(nodes)
}

// run starts the brokers and hurts them, and says what else is wrong with the
// result than violations. The directory stays when something went wrong.
func run(cfg chaos.Config, nodes int) (*chaos.Result, []string, error) {
	dir, err := os.MkdirTemp("", "weir-chaos-")
	if err != nil {
		return nil, nil, err
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
		return nil, nil, err
	}
	res, err := chaos.Run(ctx, cfg)
	if err = errors.Join(err, cfg.Cluster.Close()); err != nil {
		return nil, nil, err
	}
	wrong := res.Wrong(expected(cfg, nodes))
	if len(res.Violations)+len(wrong) == 0 {
		err = os.RemoveAll(dir)
	}
	return res, wrong, err
}
