package cli

import (
	"log/slog"
	"os"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/spf13/pflag"

	"github.com/weirstream/weir/runtime"
)

// parse reads settings from flags and an environment.
func parse(t *testing.T, env map[string]string, args ...string) (Settings, error) {
	t.Helper()
	s := DefaultSettings()
	fs := pflag.NewFlagSet("test", pflag.ContinueOnError)
	bind(fs, table(), &s, everywhere)
	bind(fs, table(), &s, workerOnly)
	if err := fs.Parse(args); err != nil {
		return s, err
	}
	return s, readEnv(fs, table(), &s, func(name string) (string, bool) { v, ok := env[name]; return v, ok })
}

func TestSettingsPrecedence(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		env  map[string]string
		args []string
		want time.Duration
	}{
		"default":                {nil, nil, 15 * time.Second},
		"environment":            {map[string]string{"WEIR_SESSION_TIMEOUT": "20s"}, nil, 20 * time.Second},
		"flag":                   {nil, []string{"--session-timeout", "7s"}, 7 * time.Second},
		"flag over environment":  {map[string]string{"WEIR_SESSION_TIMEOUT": "20s"}, []string{"--session-timeout=7s"}, 7 * time.Second},
		"flag equal to default":  {map[string]string{"WEIR_SESSION_TIMEOUT": "20s"}, []string{"--session-timeout=15s"}, 15 * time.Second},
		"empty is not set":       {map[string]string{"WEIR_SESSION_TIMEOUT": ""}, nil, 15 * time.Second},
		"a flag covers mistakes": {map[string]string{"WEIR_SESSION_TIMEOUT": "soon"}, []string{"--session-timeout=7s"}, 7 * time.Second},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, err := parse(t, tt.env, tt.args...)
			if err != nil || s.SessionTimeout != tt.want {
				t.Errorf("session timeout %v, %v; want %v", s.SessionTimeout, err, tt.want)
			}
		})
	}
}

func TestSettingsMistakes(t *testing.T) {
	t.Parallel()
	_, err := parse(t, map[string]string{"WEIR_LANES": "many", "WEIR_GUARANTEE": "at-most-once", "WEIR_LOG_LEVEL": "loud", "WEIR_MEMORY": "1 apple"})
	for _, part := range []string{"WEIR_LANES=many", "WEIR_GUARANTEE=at-most-once", "use exactly-once or at-least-once", "WEIR_LOG_LEVEL=loud", "WEIR_MEMORY=1 apple"} {
		if err == nil || !strings.Contains(err.Error(), part) {
			t.Errorf("error %v says nothing of %q", err, part)
		}
	}
	if _, err := parse(t, nil, "--sasl-password", "secret"); err == nil {
		t.Error("the password can be a flag")
	}
}

// Every row of the table must be complete and reach a field of its own.
func TestSettingsTable(t *testing.T) {
	t.Parallel()
	samples := map[string]string{
		"string": "exactly-once", "list": "a:1,b:2", "bool": "true", "int": "3", "duration": "3s", "size": "3MiB", "level": "error",
	}
	special := map[string]string{"guarantee": "at-least-once", "log-format": "json"}
	changed := make(map[string]string)
	for _, row := range table() {
		if row.doc == "" || !strings.HasSuffix(row.doc, ".") {
			t.Errorf("%s has no proper documentation: %q", row.name, row.doc)
		}
		s := DefaultSettings()
		v := row.value(&s)
		if row.def != "" && v.String() != row.def {
			t.Errorf("%s: default %q reads back as %q", row.name, row.def, v.String())
		}
		sample := samples[v.Type()]
		if special[row.name] != "" {
			sample = special[row.name]
		}
		if err := v.Set(sample); err != nil {
			t.Errorf("%s=%s: %v", row.name, sample, err)
		}
		if v.String() != sample {
			t.Errorf("%s=%s reads back as %q", row.name, sample, v.String())
		}
		field := differ(s, DefaultSettings())
		if field == "" || changed[field] != "" {
			t.Errorf("%s sets field %q, which %q sets as well", row.name, field, changed[field])
		}
		changed[field] = row.name
	}
	if n := reflect.TypeFor[Settings]().NumField(); n != len(changed) {
		t.Errorf("Settings has %d fields, the table sets %d", n, len(changed))
	}
}

// differ names the one field in which two settings differ.
func differ(a, b Settings) string {
	name := ""
	va, vb := reflect.ValueOf(a), reflect.ValueOf(b)
	for i := range va.NumField() {
		if !reflect.DeepEqual(va.Field(i).Interface(), vb.Field(i).Interface()) {
			name += va.Type().Field(i).Name
		}
	}
	return name
}

func TestSettingsReachTheirPlace(t *testing.T) {
	t.Parallel()
	s, err := parse(t, map[string]string{"WEIR_SASL_PASSWORD": "secret"},
		"--brokers", "a:1, b:2", "--guarantee", "at-least-once", "--memory", "1GiB", "--store-memory", "256MiB", "--static", "--replicas", "3",
		"--tls-ca", "ca.pem", "--sasl-mechanism", "SCRAM-SHA-512", "--sasl-user", "me", "--log-level", "debug", "--transaction-timeout", "4s")
	if err != nil {
		t.Fatal(err)
	}
	w := s.worker()
	if w.Guarantee != runtime.AtLeastOnce || w.MemoryBytes != 768<<20 || !w.Static || w.Replicas != 3 || w.CommitInterval != 100*time.Millisecond {
		t.Errorf("worker configuration is %+v", w)
	}
	k := s.kafka()
	if len(k.Brokers) != 2 || k.Brokers[1] != "b:2" || k.TransactionTimeout != 4*time.Second ||
		k.TLS == nil || k.TLS.CAFile != "ca.pem" || k.SASL == nil || k.SASL.Password != "secret" || k.SASL.User != "me" {
		t.Errorf("transport configuration is %+v, TLS %+v, SASL %+v", k, k.TLS, k.SASL)
	}
	if s.LogLevel != slog.LevelDebug {
		t.Errorf("log level is %v", s.LogLevel)
	}
	d := DefaultSettings()
	if k := d.kafka(); k.TLS != nil || k.SASL != nil {
		t.Errorf("TLS and SASL are on by default: %+v", k)
	}
}

func TestSizes(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]int{"0": 0, "17": 17, "2KiB": 2048, "64 MiB": 64 << 20, "3GiB": 3 << 30, "5B": 5} {
		if got, err := parseSize(in); err != nil || got != want {
			t.Errorf("%q is %d, %v; want %d", in, got, err, want)
		}
	}
	for _, in := range []string{"", "MiB", "-1MiB", "1.5GiB", "1TB", "99999999999GiB"} {
		if got, err := parseSize(in); err == nil {
			t.Errorf("%q is taken as %d", in, got)
		}
	}
}

// The page must be what the table says: go generate ./runtime/cli writes it.
func TestSettingsPage(t *testing.T) {
	t.Parallel()
	var want strings.Builder
	if err := WriteSettings(&want); err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile("../../docs/settings.md")
	if err != nil || string(got) != want.String() {
		t.Errorf("docs/settings.md is not what the table says (%v); run go generate ./runtime/cli", err)
	}
}
