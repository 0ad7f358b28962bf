package aerospike

import (
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strconv"
	"strings"
	"time"
)

// Config says how to reach the servers and how to treat them.
type Config struct {
	// Hosts are the servers to begin with, as host:port; the client finds
	// the rest of the cluster. At least one.
	Hosts []string

	// Namespace holds the data. Required; it exists on the servers.
	Namespace string

	// Prefix begins the names of all sets. It keeps applications that share
	// a namespace apart, so give each its own. Required: letters, digits,
	// '-' and '_', at most 32.
	Prefix string

	// ClusterName, when set, is what servers must call their cluster.
	// Default: not checked.
	ClusterName string

	// User and Password log in. Default: no login.
	User, Password string

	// TLS, when set, encrypts connections. Default: plain TCP. TLSName is the
	// name that the servers' certificates carry. Default: ClusterName when that
	// is set, and the host otherwise.
	TLS     *tls.Config
	TLSName string

	// Timeout bounds one attempt of one call, and connecting. Default (0):
	// 5 s.
	Timeout time.Duration

	// RetryFor is how long a call is tried again, with growing pauses, while
	// the servers are away, overloaded or in the middle of moving
	// partitions. Then it fails with store.ErrUnavailable; a worker opens
	// the task again and waits there for as long as it takes. Default (0):
	// 10 s.
	RetryFor time.Duration

	// Concurrency is how many connections to each server are used at most,
	// and how many batch calls one operation makes at once is a quarter of
	// it. Default (0): 64.
	Concurrency int

	// BatchRecords is how many records one batch call carries at most; 4 MiB
	// is the other limit. Default (0): 4096.
	BatchRecords int

	// RecordBytes is the servers' max-record-size. Larger values are cut
	// into several records. Default (0): 1 MiB. At least 64 KiB.
	RecordBytes int

	// MaxLayers is how many incarnations a space may consist of before they
	// are copied into one when it is opened. Takeovers from workers that did
	// not release add one. Default (0): 4.
	MaxLayers int

	// MemoryBytes is the memory that the store should do with. Calls on their
	// way are bounded by themselves (16 MiB); the keys of open spaces take what
	// they take, and the store warns when that is more than is left. Default
	// (0): 128 MiB.
	MemoryBytes int64

	// GarbageTTL, when set, makes the collection of dead incarnations write
	// short records that expire after it, instead of deleting: Community
	// Edition forgets plain deletes when it restarts, so that garbage comes
	// back once. It needs nsup-period in the namespace. Default (0): delete.
	// Otherwise at least a second.
	GarbageTTL time.Duration

	// Logger receives retries, takeovers, keys that take too much memory, and
	// what is collected. Default
	// (nil): nothing is logged.
	Logger *slog.Logger
}

const (
	defaultTimeout      = 5 * time.Second
	defaultRetryFor     = 10 * time.Second
	defaultConcurrency  = 64
	defaultBatchRecords = 4096
	defaultRecordBytes  = 1 << 20
	minRecordBytes      = 64 << 10
	maxRecordBytes      = 8 << 20
	defaultMaxLayers    = 4
	defaultMemoryBytes  = 128 << 20
	maxPrefix           = 32
	maxNamespace        = 31
	maxTTL              = 10 * 365 * 24 * time.Hour
)

// withDefaults returns the config with defaults filled in, or all its
// mistakes at once.
func (c Config) withDefaults() (Config, error) {
	var mistakes []error
	wrong := func(format string, args ...any) {
		mistakes = append(mistakes, fmt.Errorf("aerospike.Config: "+format, args...))
	}
	c.checkNames(wrong)
	if c.Timeout < 0 || c.RetryFor < 0 {
		wrong("Timeout is %s and RetryFor %s: use 0 for the defaults or positive durations", c.Timeout, c.RetryFor)
	}
	if c.Concurrency < 0 || c.BatchRecords < 0 || c.MaxLayers < 0 {
		wrong("Concurrency is %d, BatchRecords %d and MaxLayers %d: use 0 for the defaults or positive numbers", c.Concurrency, c.BatchRecords, c.MaxLayers)
	}
	if c.RecordBytes != 0 && (c.RecordBytes < minRecordBytes || c.RecordBytes > maxRecordBytes) {
		wrong("RecordBytes is %d: use 0 for the default or %d to %d, the servers' max-record-size", c.RecordBytes, minRecordBytes, maxRecordBytes)
	}
	if c.MemoryBytes < 0 {
		wrong("MemoryBytes is %d: use 0 for the default or a positive number", c.MemoryBytes)
	}
	if c.GarbageTTL != 0 && (c.GarbageTTL < time.Second || c.GarbageTTL > maxTTL) {
		wrong("GarbageTTL is %s: use 0 to delete or a second to ten years", c.GarbageTTL)
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	orDefault(&c.Timeout, defaultTimeout)
	orDefault(&c.RetryFor, defaultRetryFor)
	orDefault(&c.Concurrency, defaultConcurrency)
	orDefault(&c.BatchRecords, defaultBatchRecords)
	orDefault(&c.RecordBytes, defaultRecordBytes)
	orDefault(&c.MaxLayers, defaultMaxLayers)
	orDefault(&c.MemoryBytes, defaultMemoryBytes)
	return c, errors.Join(mistakes...)
}

func (c *Config) checkNames(wrong func(string, ...any)) {
	if len(c.Hosts) == 0 {
		wrong("Hosts is empty: name at least one server as host:port")
	}
	for _, h := range c.Hosts {
		if _, port, err := net.SplitHostPort(h); err != nil {
			wrong("Hosts has %q: write host:port", h)
		} else if n, err := strconv.Atoi(port); err != nil || n < 1 || n > 65535 {
			wrong("Hosts has %q: the port must be a number from 1 to 65535", h)
		}
	}
	if c.Namespace == "" || len(c.Namespace) > maxNamespace {
		wrong("Namespace is %q: name a namespace of the servers, at most %d characters", c.Namespace, maxNamespace)
	}
	if c.Prefix == "" || len(c.Prefix) > maxPrefix || strings.IndexFunc(c.Prefix, notInName) >= 0 {
		wrong("Prefix is %q: name the application with at most %d letters, digits, '-' and '_'", c.Prefix, maxPrefix)
	}
	if c.User == "" && c.Password != "" {
		wrong("Password is set and User is not: set both or neither")
	}
	if c.TLS == nil && c.TLSName != "" {
		wrong("TLSName is set and TLS is not: set TLS, or leave TLSName out")
	}
}

// notInName says which characters names of sets do without.
func notInName(r rune) bool {
	return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && r != '-' && r != '_'
}

func orDefault[N int | int64 | time.Duration](n *N, def N) {
	if *n == 0 {
		*n = def
	}
}
