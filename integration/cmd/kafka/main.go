// Command kafka runs a real Kafka from jars on free ports of 127.0.0.1, to try
// an application on, until it is interrupted:
//
//	WEIR_KAFKA_JARS=1 go run ./integration/cmd/kafka
//	go run ./examples/flights demo --kills 5 --workers 2 --brokers HOST:PORT
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/weirstream/weir/integration/broker"
)

func main() {
	nodes := flag.Int("brokers", 1, "brokers")
	dir := flag.String("dir", "", "keep logs and data here; must be new (default: a temporary directory, removed at the end)")
	flag.Parse()
	if err := run(*nodes, *dir); err != nil {
		fmt.Fprintln(os.Stderr, "kafka:", err)
		os.Exit(1)
	}
}

func run(nodes int, dir string) (err error) {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if dir == "" {
		if dir, err = os.MkdirTemp("", "weir-kafka-"); err != nil {
			return err
		}
		defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	}
	limit, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	c, err := broker.Start(limit, broker.Config{Nodes: nodes, Dir: dir})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, c.Close()) }()
	fmt.Println("listening on", strings.Join(c.Brokers(), ","))
	<-ctx.Done()
	return nil
}
