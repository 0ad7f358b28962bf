package kafka

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// Defaults of Config.
const (
	DefaultTransactionTimeout = 10 * time.Second
	DefaultRequestTimeout     = 10 * time.Second
	DefaultFetchWait          = 250 * time.Millisecond
)

// A Config says how to reach Kafka.
type Config struct {
	// Brokers are the seed brokers, each host:port. At least one is needed.
	Brokers []string
	// ClientID names this program in the brokers' logs and quotas; "weir"
	// when empty.
	ClientID string
	// TLS turns TLS on; nil means plain TCP.
	TLS *TLSConfig
	// SASL turns authentication on; nil means none.
	SASL *SASLConfig
	// Dialer opens connections; nil dials TCP. TLS is put on top of what it
	// returns.
	Dialer func(ctx context.Context, network, address string) (net.Conn, error)
	// TransactionTimeout is how long a transaction may stay open before the
	// broker aborts it; zero means 10 s. It bounds how long a crashed worker
	// can hold up readers, and must not exceed the brokers'
	// transaction.max.timeout.ms.
	TransactionTimeout time.Duration
	// RequestTimeout is how long one request may take before its connection
	// is given up and the request tried again; zero means 10 s.
	RequestTimeout time.Duration
	// FetchWait is how long a broker holds a fetch that finds nothing; zero
	// means 250 ms. It bounds how long a newly set partition waits behind
	// one that is idle on the same broker.
	FetchWait time.Duration
	// Compression of produced batches: "none", "gzip", "snappy", "lz4" or
	// "zstd"; empty means lz4.
	Compression string
	// MaxBatchBytes bounds a produced batch before compression; zero means
	// 1,000,012, which fits Kafka's default max.message.bytes.
	MaxBatchBytes int32
	// Logger receives what the transport and franz-go have to say; nil
	// discards it.
	Logger *slog.Logger
	// Options are added to every franz-go client, after the transport's
	// own. They can undo what the transport relies on: for experts.
	Options []kgo.Opt
}

// A TLSConfig says how to trust the brokers and, with a certificate, how to
// be trusted by them.
type TLSConfig struct {
	// CAFile is a PEM file of certificate authorities; empty trusts those
	// of the system.
	CAFile string
	// CertFile and KeyFile are the client's certificate and key, both PEM;
	// both or neither.
	CertFile, KeyFile string
	// ServerName overrides the name that the broker's certificate must be
	// for; empty takes the host that was dialed.
	ServerName string
	// InsecureSkipVerify accepts any certificate. Only for tests.
	InsecureSkipVerify bool
}

// SASL mechanisms.
const (
	MechanismPlain       = "PLAIN"
	MechanismSCRAMSHA256 = "SCRAM-SHA-256"
	MechanismSCRAMSHA512 = "SCRAM-SHA-512"
)

// A SASLConfig authenticates the client.
type SASLConfig struct {
	// Mechanism is PLAIN, SCRAM-SHA-256 or SCRAM-SHA-512.
	Mechanism string
	User      string
	Password  string
}

// compressions are the codecs by name.
func compression(name string) (kgo.CompressionCodec, error) {
	switch name {
	case "none":
		return kgo.NoCompression(), nil
	case "gzip":
		return kgo.GzipCompression(), nil
	case "snappy":
		return kgo.SnappyCompression(), nil
	case "lz4", "":
		return kgo.Lz4Compression(), nil
	case "zstd":
		return kgo.ZstdCompression(), nil
	}
	return kgo.CompressionCodec{}, fmt.Errorf("compression %q is unknown: use none, gzip, snappy, lz4 or zstd", name)
}

// withDefaults fills in what was left zero.
func (c Config) withDefaults() Config {
	if c.ClientID == "" {
		c.ClientID = "weir"
	}
	if c.TransactionTimeout == 0 {
		c.TransactionTimeout = DefaultTransactionTimeout
	}
	if c.RequestTimeout == 0 {
		c.RequestTimeout = DefaultRequestTimeout
	}
	if c.FetchWait == 0 {
		c.FetchWait = DefaultFetchWait
	}
	if c.MaxBatchBytes == 0 {
		c.MaxBatchBytes = 1_000_012
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if c.Dialer == nil {
		c.Dialer = (&net.Dialer{Timeout: c.RequestTimeout}).DialContext
	}
	return c
}

// validate reports every mistake of a Config that has its defaults.
func (c Config) validate() error {
	var errs []error
	bad := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	if len(c.Brokers) == 0 {
		bad("no brokers: name at least one as host:port")
	}
	for _, b := range c.Brokers {
		if host, port, err := net.SplitHostPort(b); err != nil || host == "" || port == "" {
			bad("broker %q is not host:port", b)
		}
	}
	for _, d := range []struct {
		name string
		v    time.Duration
		min  time.Duration
	}{
		{"transaction timeout", c.TransactionTimeout, time.Second},
		{"request timeout", c.RequestTimeout, time.Second},
		{"fetch wait", c.FetchWait, time.Millisecond},
	} {
		if d.v < d.min {
			bad("%s %v is too short: use at least %v", d.name, d.v, d.min)
		}
	}
	if c.FetchWait >= c.RequestTimeout {
		bad("fetch wait %v must be shorter than the request timeout %v", c.FetchWait, c.RequestTimeout)
	}
	if c.MaxBatchBytes < 1<<10 || c.MaxBatchBytes > 1<<30 {
		bad("max batch bytes %d is out of range: use 1 KiB to 1 GiB", c.MaxBatchBytes)
	}
	if _, err := compression(c.Compression); err != nil {
		errs = append(errs, err)
	}
	if c.TLS != nil {
		errs = append(errs, c.TLS.validate()...)
	}
	if c.SASL != nil {
		errs = append(errs, c.SASL.validate()...)
	}
	return errors.Join(errs...)
}
