package kafka

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"github.com/twmb/franz-go/pkg/kversion"

	"github.com/weirstream/weir/runtime"
)

// A Transport is a connection to one Kafka cluster. Its methods are safe for
// concurrent use.
type Transport struct {
	cfg     Config
	outages *outages
	dial    kgo.Opt
	// maxUnknown is defaultMaxUnknown outside of tests.
	maxUnknown int

	// admin serves everything that is neither membership, fetching nor
	// producing; it keeps no state besides connections.
	admin *kgo.Client
	adm   *kadm.Client

	// offsets are the ends of partitions.
	offsets gatherer[offsetList]

	// life ends with Close.
	life context.Context //nolint:containedctx // bounds all requests
	end  context.CancelFunc

	mu     sync.Mutex
	closed bool
	open   []interface{ Close() } // oldest first
	once   *kgo.Client            // see onceClient; nil until it is needed
}

var _ runtime.Transport = (*Transport)(nil)

// New returns a transport for the cluster of cfg, or all mistakes of cfg. It
// does not wait for brokers.
func New(cfg Config) (*Transport, error) {
	cfg = cfg.withDefaults()
	if err := cfg.validate(); err != nil {
		return nil, fmt.Errorf("kafka: the configuration is not usable: %w", err)
	}
	dial, err := cfg.dialer()
	if err != nil {
		return nil, fmt.Errorf("kafka: %w", err)
	}
	t := &Transport{
		cfg:     cfg,
		outages: newOutages(cfg.Logger), maxUnknown: defaultMaxUnknown,
		dial: kgo.Dialer(dial),
	}
	t.offsets.ask = t.listOffsets
	t.life, t.end = context.WithCancel(context.Background())
	if t.admin, err = t.client(patient()...); err != nil {
		return nil, err
	}
	t.adm = kadm.NewClient(t.admin)
	return t, nil
}

// Close closes the transport and everything that came from it. A group that
// was not left leaves without telling its listener.
func (t *Transport) Close() error {
	t.mu.Lock()
	t.closed = true
	open := slices.Clone(t.open)
	t.mu.Unlock()
	t.end()
	for _, c := range open {
		c.Close()
	}
	t.admin.Close()
	return nil
}

var errClosed = errors.New("kafka: the transport is closed")

// track remembers what Close has to close.
func (t *Transport) track(c interface{ Close() }) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed {
		return errClosed
	}
	t.open = append(t.open, c)
	return nil
}

func (t *Transport) forget(c interface{ Close() }) {
	t.mu.Lock()
	t.open = slices.DeleteFunc(t.open, func(o interface{ Close() }) bool { return o == c })
	t.mu.Unlock()
}

// client makes a franz-go client with what all of them share.
func (t *Transport) client(opts ...kgo.Opt) (*kgo.Client, error) {
	all := []kgo.Opt{
		kgo.SeedBrokers(t.cfg.Brokers...),
		kgo.ClientID(t.cfg.ClientID),
		kgo.WithLogger(clientLog{t.cfg.Logger}),
		kgo.WithHooks(t.outages),
		t.dial,
		kgo.RequestTimeoutOverhead(t.cfg.RequestTimeout),
		kgo.RetryBackoffFn(backoff),
		// How soon a client may look again for leaders that moved.
		kgo.MetadataMinAge(250 * time.Millisecond),
		kgo.AlwaysRetryEOF(),
		kgo.DisableClientMetrics(),
		kgo.MaxVersions(usual()),
	}
	if t.cfg.SASL != nil {
		all = append(all, kgo.SASL(t.cfg.SASL.mechanism()))
	}
	cl, err := kgo.NewClient(append(append(all, opts...), t.cfg.Options...)...)
	if err != nil {
		return nil, fmt.Errorf("kafka: franz-go refuses the configuration: %w", err)
	}
	return cl, nil
}

// versions caps the requests that the transport writes itself at those
// versions whose fields it fills. From the versions left out, offsets are
// addressed by topic IDs (KIP-1319). A cap of 4 on TxnOffsetCommit makes
// franz-go keep to the transactions before KIP-890, 5 lets it use the new
// ones where the cluster has them.
func versions(txnOffsetCommit int16) *kversion.Versions {
	v := kversion.Stable()
	v.SetMaxKeyVersion(kmsg.TxnOffsetCommit.Int16(), txnOffsetCommit)
	v.SetMaxKeyVersion(kmsg.OffsetCommit.Int16(), 9)
	v.SetMaxKeyVersion(kmsg.OffsetFetch.Int16(), 9)
	return v
}

// usual are the versions of most clients, which only read them.
var usual = sync.OnceValue(func() *kversion.Versions { return versions(5) })

// explicit are those of producers in clusters without KIP-890.
var explicit = sync.OnceValue(func() *kversion.Versions { return versions(4) })

// patient makes a client try until the context of a request ends.
func patient() []kgo.Opt {
	return []kgo.Opt{kgo.RequestRetries(math.MaxInt32), kgo.RetryTimeout(0)}
}
