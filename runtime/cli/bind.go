package cli

import (
	"errors"
	"fmt"

	"github.com/spf13/pflag"

	"github.com/weirstream/weir/runtime"
	"github.com/weirstream/weir/transports/kafka"
)

// DefaultSettings returns the defaults of the table.
func DefaultSettings() Settings {
	var s Settings
	for _, row := range table() {
		if row.def != "" {
			if err := row.value(&s).Set(row.def); err != nil {
				panic(fmt.Sprintf("cli: default of %s: %v", row.name, err))
			}
		}
	}
	return s
}

// bind makes flags of the settings of a scope.
func bind(fs *pflag.FlagSet, rows []setting, s *Settings, of scope) {
	for _, row := range rows {
		if row.scope != of || row.secret {
			continue
		}
		v := row.value(s)
		f := fs.VarPF(v, row.name, "", row.doc+" Environment: "+row.env()+".")
		if v.Type() == "bool" {
			f.NoOptDefVal = "true"
		}
	}
}

// readEnv sets what the environment says and no flag does. An empty variable
// is one that is not set. All mistakes are reported.
func readEnv(fs *pflag.FlagSet, rows []setting, s *Settings, lookup func(string) (string, bool)) error {
	var errs []error
	for _, row := range rows {
		text, ok := lookup(row.env())
		if !ok || text == "" || fs.Changed(row.name) {
			continue
		}
		if err := row.value(s).Set(text); err != nil {
			if row.secret {
				text = "…"
			}
			errs = append(errs, fmt.Errorf("%s=%s: %w", row.env(), text, err))
		}
	}
	return errors.Join(errs...)
}

// kafka returns the transport's configuration.
func (s *Settings) kafka() kafka.Config {
	cfg := kafka.Config{
		Brokers:            s.Brokers,
		TransactionTimeout: s.TransactionTimeout,
	}
	if s.TLS || s.TLSCA != "" || s.TLSCert != "" || s.TLSKey != "" || s.TLSServerName != "" || s.TLSInsecure {
		cfg.TLS = &kafka.TLSConfig{
			CAFile: s.TLSCA, CertFile: s.TLSCert, KeyFile: s.TLSKey,
			ServerName: s.TLSServerName, InsecureSkipVerify: s.TLSInsecure,
		}
	}
	if s.SASLMechanism != "" || s.SASLUser != "" || s.SASLPassword != "" {
		cfg.SASL = &kafka.SASLConfig{Mechanism: s.SASLMechanism, User: s.SASLUser, Password: s.SASLPassword}
	}
	return cfg
}

// storeMemory is the share of the stores in the worker's memory.
func (s *Settings) storeMemory() int {
	if s.StoreMemory == 0 {
		return s.Memory / 3
	}
	return s.StoreMemory
}

// worker returns the part of the worker's configuration that settings make.
func (s *Settings) worker() runtime.Config {
	return runtime.Config{
		Instance:        s.Instance,
		Guarantee:       s.Guarantee,
		Lanes:           s.Lanes,
		CommitInterval:  s.CommitInterval,
		CommitTimeout:   s.CommitTimeout,
		Session:         s.SessionTimeout,
		Rebalance:       s.RebalanceTimeout,
		RevokeBudget:    s.RevokeTimeout,
		ShutdownTimeout: s.ShutdownTimeout,
		Static:          s.Static,
		Standbys:        s.Standbys,
		MemoryBytes:     s.Memory - s.storeMemory(),
		Replicas:        int16(s.Replicas),
	}
}
