//go:build !wasip1

package app

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/weirstream/weir/core/record"
	"github.com/weirstream/weir/examples/flights/traffic"
	"github.com/weirstream/weir/runtime"
	"github.com/weirstream/weir/runtime/cli"
)

// topicConfig keeps records for good: they carry the time of their flight, so
// a topic that deletes by age would lose them at once.
func topicConfig() map[string]string { return map[string]string{"retention.ms": "-1"} }

func (a *application) loadCommand() *cobra.Command {
	var file, airports string
	cmd := &cobra.Command{
		Use:   "load",
		Short: "Send airports and flights to Kafka, creating the topics",
		Long: `Send airports and then flights to Kafka, creating the topics that are missing.
The time of a record is its flight's date, taken as UTC. Loading a file twice
sends its flights twice.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			e := cli.From(cmd.Context())
			tr, err := e.Connect(cmd.Context())
			if err != nil {
				return err
			}
			defer closing(e, tr)
			l := loader{a: a, e: e, tr: tr}
			if err := l.topics(cmd.Context()); err != nil {
				return err
			}
			if err := l.airports(cmd.Context(), airports); err != nil {
				return err
			}
			return l.flights(cmd.Context(), file)
		},
	}
	addFiles(cmd, &file, &airports)
	return cmd
}

func addFiles(cmd *cobra.Command, file, airports *string) {
	cmd.Flags().StringVar(file, "file", "", "CSV of flights, gzipped or not: date, origin, destination, delay, distance (default: the shipped 200,000)")
	cmd.Flags().StringVar(airports, "airports", "", "CSV of airports: iata, name, city, state (default: the shipped ones)")
}

// A loader sends files to Kafka.
type loader struct {
	a  *application
	e  *cli.Env
	tr runtime.Transport
	// gate, when set, is asked before each flight, by its number from 0. It
	// calls flush before it waits.
	gate func(ctx context.Context, n int64, flush func(context.Context) error) error
	sent int64
}

// closing closes a connection.
func closing(e *cli.Env, tr runtime.Transport) {
	if err := tr.Close(); err != nil {
		e.Log.Error("closing the connection failed", "error", err)
	}
}

// topics creates the topics that are missing.
func (l *loader) topics(ctx context.Context) error {
	_, err := l.e.CreateExternal(ctx, l.tr, traffic.Partitions, topicConfig())
	return err
}

// airports sends the airports, whose records have the current time.
func (l *loader) airports(ctx context.Context, path string) error {
	s, err := cli.NewSender(ctx, l.tr, l.a.Airports.Name())
	if err != nil {
		return err
	}
	defer s.Close()
	now := time.Now().UnixMilli()
	err = traffic.ReadAirports(path, func(iata string, at traffic.Airport) error {
		k, err := l.a.Airports.EncodeKey(iata)
		if err != nil {
			return err
		}
		v, err := l.a.Airports.EncodeValue(at)
		if err != nil {
			return err
		}
		return s.Send(ctx, record.Record{Key: k, Value: v, Time: now})
	})
	if err == nil {
		err = s.Flush(ctx)
	}
	if err != nil {
		return fmt.Errorf("loading airports: %w", err)
	}
	l.e.ProgressDonef("loaded %d airports", s.Sent())
	return nil
}

// flights sends the flights.
func (l *loader) flights(ctx context.Context, path string) error {
	s, err := cli.NewSender(ctx, l.tr, l.a.Flights.Name())
	if err != nil {
		return err
	}
	defer s.Close()
	start := time.Now()
	var n int64
	err = traffic.ReadFlights(path, func(r traffic.Row) error {
		if l.gate != nil {
			if err := l.gate(ctx, n, s.Flush); err != nil {
				return err
			}
		}
		n++
		if n%10000 == 0 && l.gate == nil {
			l.e.Progressf("loaded %d flights, %.0f/s", s.Sent(), float64(s.Sent())/time.Since(start).Seconds())
		}
		return l.send(ctx, s, r)
	})
	if err == nil {
		err = s.Flush(ctx)
	}
	l.sent = s.Sent()
	if err != nil {
		return fmt.Errorf("loading flights, %d were sent: %w", l.sent, err)
	}
	l.e.ProgressDonef("loaded %d flights in %.1f s", l.sent, time.Since(start).Seconds())
	return nil
}

func (l *loader) send(ctx context.Context, s *cli.Sender, r traffic.Row) error {
	k, err := l.a.Flights.EncodeKey(r.Origin)
	if err != nil {
		return err
	}
	v, err := l.a.Flights.EncodeValue(r.Flight)
	if err != nil {
		return err
	}
	return s.Send(ctx, record.Record{Key: k, Value: v, Time: r.Date.UnixMilli()})
}
