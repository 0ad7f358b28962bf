package cli

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/weirstream/weir"
	"github.com/weirstream/weir/core/record"
	"github.com/weirstream/weir/runtime"
)

func sendCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "send TOPIC [KEY VALUE]",
		Short: "Send records to a topic",
		Long: `Send records to a topic: one from the arguments, or one for each line of
standard input. Keys and values are JSON and are encoded as the topic's own
are; null is Kafka's null; a string needs no quotes.

Lines are JSON objects: {"key": …, "value": …, "time": "2001-01-01T00:00:00Z"}.
Without a time the record has the current one.`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) != 1 && len(args) != 3 {
				return errors.New("give a topic, or a topic, a key and a value")
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			e := From(cmd.Context())
			info, err := e.topicInfo(args[0])
			if err != nil {
				return err
			}
			if len(args) == 3 {
				r, err := recordOf(info, args[1], args[2], time.Now())
				if err != nil {
					return err
				}
				return e.send(cmd.Context(), info.Name, func(yield func(record.Record, error) bool) { yield(r, nil) })
			}
			return e.send(cmd.Context(), info.Name, readLines(cmd.InOrStdin(), info))
		},
	}
}

func (e *Env) topicInfo(name string) (weir.TopicInfo, error) {
	if _, err := e.Topology(); err != nil {
		return weir.TopicInfo{}, err
	}
	var names []string
	for _, t := range e.App.Topics() {
		if t.Name == name {
			return t, nil
		}
		names = append(names, t.Name)
	}
	return weir.TopicInfo{}, fmt.Errorf("the application has no topic %q: choose one of %s", name, strings.Join(names, ", "))
}

// recordOf encodes one record.
func recordOf(info weir.TopicInfo, key, value string, at time.Time) (record.Record, error) {
	k, err := info.EncodeKeyJSON(key)
	if err != nil {
		return record.Record{}, fmt.Errorf("key %s for topic %q: %w", key, info.Name, err)
	}
	v, err := info.EncodeValueJSON(value)
	if err != nil {
		return record.Record{}, fmt.Errorf("value %s for topic %q: %w", value, info.Name, err)
	}
	return record.Record{Topic: info.Name, Time: at.UnixMilli(), Key: k, Value: v}, nil
}

// maxLine bounds a line of input.
const maxLine = 64 << 20

// readLines yields the records of NDJSON. An error ends it.
func readLines(in io.Reader, info weir.TopicInfo) func(yield func(record.Record, error) bool) {
	return func(yield func(record.Record, error) bool) {
		lines := bufio.NewScanner(in)
		lines.Buffer(nil, maxLine)
		for n := 1; lines.Scan(); n++ {
			text := bytes.TrimSpace(lines.Bytes())
			if len(text) == 0 {
				continue
			}
			r, err := parseLine(info, text)
			if err != nil {
				yield(record.Record{}, fmt.Errorf("line %d: %w", n, err))
				return
			}
			if !yield(r, nil) {
				return
			}
		}
		if err := lines.Err(); err != nil {
			yield(record.Record{}, fmt.Errorf("reading the input: %w", err))
		}
	}
}

func parseLine(info weir.TopicInfo, text []byte) (record.Record, error) {
	var in struct {
		Key   json.RawMessage `json:"key"`
		Value json.RawMessage `json:"value"`
		Time  *time.Time      `json:"time"`
	}
	dec := json.NewDecoder(bytes.NewReader(text))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&in); err != nil {
		return record.Record{}, fmt.Errorf("%w: write {\"key\": …, \"value\": …}", err)
	}
	if in.Value == nil {
		return record.Record{}, errors.New(`there is no "value"; write null for a tombstone`)
	}
	at := time.Now()
	if in.Time != nil {
		at = *in.Time
	}
	key := string(in.Key)
	r, err := recordOf(info, orNull(key), string(in.Value), at)
	if err == nil && (in.Key == nil || key == "null") {
		r.Key = nil // also for string keys, which "null" is one of
	}
	if err == nil && string(in.Value) == "null" {
		r.Value = nil
	}
	return r, err
}

func orNull(s string) string {
	if s == "" {
		return "null"
	}
	return s
}

// sendBatch is how many records go out at once.
const sendBatch = 1000

// send sends records, each to the partition of its key, and says how many.
func (e *Env) send(ctx context.Context, topic string, records func(yield func(record.Record, error) bool)) (err error) {
	tr, err := e.Connect(ctx)
	if err != nil {
		return err
	}
	defer e.closing("connection", tr.Close)
	s, err := NewSender(ctx, tr, topic)
	if err != nil {
		return err
	}
	defer s.Close()
	var shown int64
	for r, bad := range records {
		if bad != nil {
			err = bad
			break
		}
		if err = s.Send(ctx, r); err != nil {
			break
		}
		if n := s.Sent(); n > shown {
			shown = n
			e.Progressf("sent %d records", n)
		}
	}
	e.screen.finish("")
	if ferr := s.Flush(ctx); err == nil {
		err = ferr
	}
	e.Log.Info("sent", "topic", topic, "records", s.Sent())
	return err
}

// A Sender sends records to one topic, each to the partition of its key, with
// an idempotent producer. It is for one goroutine.
type Sender struct {
	topic      string
	partitions int32
	p          runtime.Producer
	batch      []record.Record
	spread     int32
	sent       int64
}

// NewSender returns a Sender for a topic that exists.
func NewSender(ctx context.Context, tr runtime.Transport, topic string) (*Sender, error) {
	infos, err := tr.Topics(ctx, topic)
	if err != nil {
		return nil, err
	}
	info, ok := infos[topic]
	if !ok {
		return nil, fmt.Errorf("topic %q does not exist: create it with `topics create`", topic)
	}
	p, err := tr.Producer(ctx, "")
	if err != nil {
		return nil, err
	}
	return &Sender{topic: topic, partitions: info.Partitions, p: p}, nil
}

// Send takes a record, whose bytes must stay as they are until Flush.
func (s *Sender) Send(ctx context.Context, r record.Record) error {
	r.Topic = s.topic
	if r.Key == nil {
		r.Partition = s.spread % s.partitions
		s.spread++
	} else {
		r.Partition = record.Partition(r.Key, s.partitions)
	}
	s.batch = append(s.batch, r)
	if len(s.batch) < sendBatch {
		return nil
	}
	return s.Flush(ctx)
}

// Flush sends what was taken and waits until the brokers have it.
func (s *Sender) Flush(ctx context.Context) error {
	if len(s.batch) == 0 {
		return nil
	}
	res := s.p.Commit(ctx, runtime.Commit{Records: [][]record.Record{s.batch}})
	if res.Outcome != runtime.Committed {
		return fmt.Errorf("sending %d records to topic %q: %s: %w; some of them may have been written", len(s.batch), s.topic, res.Outcome, res.Err)
	}
	s.sent += int64(len(s.batch))
	s.batch = s.batch[:0]
	return nil
}

// Sent is how many records the brokers have.
func (s *Sender) Sent() int64 { return s.sent }

// Close ends the Sender. What was not flushed is dropped.
func (s *Sender) Close() { s.p.Close() }
