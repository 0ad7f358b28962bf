package cli

import (
	"log/slog"
	"strings"
	"time"

	"github.com/spf13/pflag"

	"github.com/weirstream/weir/core/store"
	"github.com/weirstream/weir/runtime"
)

// Settings are what the commands of an application can be told. The table
// below says what each means.
type Settings struct {
	Brokers            []string
	StateDir           string
	Instance           string
	Store              string
	Guarantee          runtime.Guarantee
	Lanes              int
	CommitInterval     time.Duration
	CommitTimeout      time.Duration
	SessionTimeout     time.Duration
	RebalanceTimeout   time.Duration
	RevokeTimeout      time.Duration
	ShutdownTimeout    time.Duration
	LockTimeout        time.Duration
	TransactionTimeout time.Duration
	Memory             int // bytes
	StoreMemory        int // bytes
	Standbys           int
	Replicas           int
	Static             bool
	TLS                bool
	TLSCA              string
	TLSCert            string
	TLSKey             string
	TLSServerName      string
	TLSInsecure        bool
	SASLMechanism      string
	SASLUser           string
	SASLPassword       string
	LogLevel           slog.Level
	LogFormat          string
}

// A scope says which commands a setting is for.
type scope uint8

const (
	everywhere scope = iota
	workerOnly
)

func (s scope) String() string { return [...]string{"all", "worker"}[s] }

// A setting is one row of the table.
type setting struct {
	name  string // of the flag
	def   string
	doc   string
	scope scope
	// secret settings have no flag, because everybody on a machine can see
	// the arguments of a process.
	secret bool
	value  func(s *Settings) pflag.Value
}

// env is the name of the environment variable.
func (s setting) env() string {
	return "WEIR_" + strings.ToUpper(strings.ReplaceAll(s.name, "-", "_"))
}

// settings are those of the table and those of added stores.
func (e *Env) settings() []setting { return append(table(), e.more...) }

// settingOf makes a row of a setting of a store.
func (e *Env) settingOf(s store.Setting) setting {
	return setting{
		name: s.Name, def: s.Default, doc: s.Doc, scope: workerOnly, secret: s.Secret,
		value: func(*Settings) pflag.Value { return &storeValue{e.storeSettings, s.Name} },
	}
}

// A storeValue is one value among the settings of stores.
type storeValue struct {
	values map[string]string
	name   string
}

func (v *storeValue) String() string {
	if v.values == nil {
		return ""
	}
	return v.values[v.name]
}

func (v *storeValue) Set(text string) error { v.values[v.name] = text; return nil }

func (v *storeValue) Type() string { return "string" }

// table is every setting, in the order of the documentation.
func table() []setting {
	return []setting{
		{name: "brokers", def: "127.0.0.1:9092", doc: "Kafka brokers to start from, host:port, separated by commas.",
			value: func(s *Settings) pflag.Value { return listOf(&s.Brokers) }},
		{name: "state-dir", doc: "Directory of the worker's local state: its stores and the file with its instance name. Only one worker may use it at a time. Empty means .weir/ followed by the application's name.",
			value: func(s *Settings) pflag.Value { return text(&s.StateDir) }},
		{name: "instance", scope: workerOnly, doc: "Name of this worker in the group. It must stay the same over restarts and differ between workers: transactional IDs are made from it. Empty takes the one kept in the state directory, or makes one up and keeps it there.",
			value: func(s *Settings) pflag.Value { return text(&s.Instance) }},
		{name: "store", def: "pebble", scope: workerOnly, doc: "Where tables are kept: pebble (on disk), memory (restored from Kafka at each start), or a store that the application adds. Exceptions follow as table=kind: pebble,counts=memory.",
			value: func(s *Settings) pflag.Value { return text(&s.Store) }},
		{name: "guarantee", def: runtime.ExactlyOnce.String(), scope: workerOnly, doc: "exactly-once (outputs, tables and offsets in one Kafka transaction) or at-least-once.",
			value: func(s *Settings) pflag.Value { return guarantee(&s.Guarantee) }},
		{name: "lanes", def: "0", scope: workerOnly, doc: "Goroutines that run tasks. 0 takes GOMAXPROCS, at most 8.",
			value: func(s *Settings) pflag.Value { return number(&s.Lanes, 0) }},
		{name: "commit-interval", def: "100ms", scope: workerOnly, doc: "Time between commits: bounds the latency of exactly-once output, and how much is done again after a crash.",
			value: func(s *Settings) pflag.Value { return duration(&s.CommitInterval) }},
		{name: "commit-timeout", def: "30s", scope: workerOnly, doc: "How long one commit may take before its outcome counts as unknown and is found out.",
			value: func(s *Settings) pflag.Value { return duration(&s.CommitTimeout) }},
		{name: "session-timeout", def: "15s", scope: workerOnly, doc: "How long the group waits for a silent worker before its tasks move. Brokers bound it with group.min.session.timeout.ms (6s) and group.max.session.timeout.ms.",
			value: func(s *Settings) pflag.Value { return duration(&s.SessionTimeout) }},
		{name: "rebalance-timeout", def: "1m", scope: workerOnly, doc: "How long the workers may take to join a rebalance.",
			value: func(s *Settings) pflag.Value { return duration(&s.RebalanceTimeout) }},
		{name: "revoke-timeout", def: "0s", scope: workerOnly, doc: "How long a task that moves away may take to commit before it is given up uncommitted. 0 takes half of the rebalance timeout.",
			value: func(s *Settings) pflag.Value { return duration(&s.RevokeTimeout) }},
		{name: "shutdown-timeout", def: "30s", scope: workerOnly, doc: "How long an orderly stop may take to finish and commit.",
			value: func(s *Settings) pflag.Value { return duration(&s.ShutdownTimeout) }},
		{name: "lock-timeout", def: "40s", scope: workerOnly, doc: "How long to wait, at the start, for a state directory that another process still uses: a worker that is being replaced has it until it has stopped. 0 does not wait.",
			value: func(s *Settings) pflag.Value { return duration(&s.LockTimeout) }},
		{name: "transaction-timeout", def: "10s", scope: workerOnly, doc: "How long the broker keeps a transaction of a crashed worker open, which holds up readers. At most the brokers' transaction.max.timeout.ms.",
			value: func(s *Settings) pflag.Value { return duration(&s.TransactionTimeout) }},
		{name: "memory", def: "384MiB", scope: workerOnly, doc: "Memory of the worker: caches, uncommitted writes, fetch buffers and stores together. The process takes up to 192MiB more for everything else.",
			value: func(s *Settings) pflag.Value { return size(&s.Memory) }},
		{name: "store-memory", def: "0", scope: workerOnly, doc: "The part of it that is for stores: their block caches, memtables, and keys of what servers keep; several share it evenly. 0 takes a third.",
			value: func(s *Settings) pflag.Value { return size(&s.StoreMemory) }},
		{name: "standbys", def: "0", scope: workerOnly, doc: "Standby replicas of each task with state: that many other workers follow its changelogs, so that one of them takes it over at once. All workers of a group should have the same.",
			value: func(s *Settings) pflag.Value { return number(&s.Standbys, 0) }},
		{name: "replicas", def: "-1", doc: "Replication factor of topics that are created. -1 takes the broker's default.",
			value: func(s *Settings) pflag.Value { return number(&s.Replicas, -1) }},
		{name: "static", def: "false", scope: workerOnly, doc: "Join as a static member (KIP-345): a restart within the session timeout moves no task.",
			value: func(s *Settings) pflag.Value { return boolean(&s.Static) }},
		{name: "tls", def: "false", doc: "Connect with TLS. Any other TLS setting turns it on as well.",
			value: func(s *Settings) pflag.Value { return boolean(&s.TLS) }},
		{name: "tls-ca", doc: "PEM file of the authorities to trust. Empty trusts those of the system.",
			value: func(s *Settings) pflag.Value { return text(&s.TLSCA) }},
		{name: "tls-cert", doc: "PEM file with the client's certificate.",
			value: func(s *Settings) pflag.Value { return text(&s.TLSCert) }},
		{name: "tls-key", doc: "PEM file with the key of that certificate.",
			value: func(s *Settings) pflag.Value { return text(&s.TLSKey) }},
		{name: "tls-server-name", doc: "Name that the brokers' certificates must be for. Empty takes the host that is dialed.",
			value: func(s *Settings) pflag.Value { return text(&s.TLSServerName) }},
		{name: "tls-insecure", def: "false", doc: "Accept any certificate. For tests only.",
			value: func(s *Settings) pflag.Value { return boolean(&s.TLSInsecure) }},
		{name: "sasl-mechanism", doc: "PLAIN, SCRAM-SHA-256 or SCRAM-SHA-512. Empty means no authentication.",
			value: func(s *Settings) pflag.Value { return text(&s.SASLMechanism) }},
		{name: "sasl-user", doc: "User to authenticate as.",
			value: func(s *Settings) pflag.Value { return text(&s.SASLUser) }},
		{name: "sasl-password", secret: true, doc: "Password of that user.",
			value: func(s *Settings) pflag.Value { return text(&s.SASLPassword) }},
		{name: "log-level", def: "info", doc: "debug, info, warn or error.",
			value: func(s *Settings) pflag.Value { return level(&s.LogLevel) }},
		{name: "log-format", def: "text", doc: "text or json. Logs go to standard error.",
			value: func(s *Settings) pflag.Value { return choice(&s.LogFormat, "text", "json") }},
	}
}
