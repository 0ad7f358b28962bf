package memory

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/weirstream/weir/core/record"
	"github.com/weirstream/weir/runtime"
)

// Config configures a Transport.
type Config struct {
	// Broker is what the transport connects to. Required.
	Broker *Broker
	// TransactionTimeout is how long a transaction may stay open before the
	// broker aborts it. Default: 10 s.
	TransactionTimeout time.Duration
	// Logger hears of what goes wrong. Nil discards.
	Logger *slog.Logger
}

// A Transport is one client process of a Broker. Several may share one.
type Transport struct {
	broker  *Broker
	log     *slog.Logger
	timeout time.Duration   // of transactions
	ctx     context.Context // ends with Close
	cancel  context.CancelFunc

	mu    sync.Mutex
	users map[closer]bool // nil once closed
}

// A closer is what Close has to close, too.
type closer interface{ close() }

var _ runtime.Transport = (*Transport)(nil)

var errClosed = errors.New("memory: transport is closed")

const defaultTransactionTimeout = 10 * time.Second

// New returns a transport.
func New(cfg Config) (*Transport, error) {
	if cfg.Broker == nil {
		return nil, errors.New("memory: Config.Broker is nil; make one with NewBroker")
	}
	if cfg.TransactionTimeout < 0 {
		return nil, errors.New("memory: Config.TransactionTimeout must not be negative")
	}
	if cfg.TransactionTimeout == 0 {
		cfg.TransactionTimeout = defaultTransactionTimeout
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	ctx, cancel := context.WithCancel(context.Background())
	return &Transport{broker: cfg.Broker, log: cfg.Logger, timeout: cfg.TransactionTimeout, ctx: ctx, cancel: cancel, users: make(map[closer]bool)}, nil
}

// usable returns an error when the transport is closed or the call is over.
func (t *Transport) usable(ctx context.Context) error {
	if t.ctx.Err() != nil {
		return errClosed
	}
	return ctx.Err()
}

// await waits for a change, or for the end of the call or the transport.
func (t *Transport) await(ctx context.Context, changed <-chan struct{}) {
	select {
	case <-changed:
	case <-ctx.Done():
	case <-t.ctx.Done():
	}
}

func (t *Transport) track(c closer) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.users == nil {
		return errClosed
	}
	t.users[c] = true
	return nil
}

func (t *Transport) forget(c closer) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.users, c)
}

// Close leaves all groups and ends all that was made from the transport. It
// waits for nothing.
func (t *Transport) Close() error {
	t.mu.Lock()
	users := t.users
	t.users = nil
	t.mu.Unlock()
	t.cancel()
	for c := range users {
		c.close()
	}
	return nil
}

// Topics implements runtime.Transport.
func (t *Transport) Topics(ctx context.Context, names ...string) (map[string]runtime.TopicInfo, error) {
	if err := t.usable(ctx); err != nil {
		return nil, err
	}
	infos := t.broker.Topics()
	if len(names) > 0 {
		maps.DeleteFunc(infos, func(name string, _ runtime.TopicInfo) bool { return !slices.Contains(names, name) })
	}
	return infos, nil
}

// CreateTopics implements runtime.Transport.
func (t *Transport) CreateTopics(ctx context.Context, topics map[string]runtime.TopicSpec) ([]string, error) {
	if err := t.usable(ctx); err != nil {
		return nil, err
	}
	var created []string
	var errs []error
	for _, name := range slices.Sorted(maps.Keys(topics)) {
		switch err := t.broker.CreateTopic(name, topics[name]); {
		case err == nil:
			created = append(created, name)
		case !errors.Is(err, ErrTopicExists):
			errs = append(errs, err)
		}
	}
	return created, errors.Join(errs...)
}

// DeleteTopic implements runtime.Transport.
func (t *Transport) DeleteTopic(ctx context.Context, name string) error {
	if err := t.usable(ctx); err != nil {
		return err
	}
	t.broker.DeleteTopic(name)
	return nil
}

// Offsets implements runtime.Transport.
func (t *Transport) Offsets(ctx context.Context, parts []record.TopicPartition) (map[record.TopicPartition]runtime.LogRange, error) {
	if err := t.usable(ctx); err != nil {
		return nil, err
	}
	ranges := make(map[record.TopicPartition]runtime.LogRange, len(parts))
	for _, tp := range parts {
		r, err := t.broker.Range(tp)
		if err != nil {
			return nil, fmt.Errorf("memory: list offsets: %w", err)
		}
		ranges[tp] = r
	}
	return ranges, nil
}

// DeleteRecords implements runtime.Transport. What the topic's policy does
// not allow is passed over in silence.
func (t *Transport) DeleteRecords(ctx context.Context, before map[record.TopicPartition]int64) error {
	if err := t.usable(ctx); err != nil {
		return err
	}
	var errs []error
	for _, tp := range slices.SortedFunc(maps.Keys(before), record.TopicPartition.Compare) {
		if err := t.broker.DeleteRecords(tp, before[tp]); err != nil && !errors.Is(err, ErrPolicy) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}
