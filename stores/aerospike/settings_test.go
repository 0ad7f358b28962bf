package aerospike

import (
	"encoding/pem"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"
)

// defaults are the answers of an operator who says only what must be said.
func defaults() map[string]string {
	m := make(map[string]string)
	for _, s := range Settings() {
		m[s.Name] = s.Default
	}
	m["aerospike-hosts"], m["aerospike-namespace"] = "one:3000, two:3000", "test"
	return m
}

func TestConfigure(t *testing.T) {
	t.Parallel()
	c, err := Configure("flights", defaults())
	if err != nil {
		t.Fatal(err)
	}
	want := Config{
		Hosts: []string{"one:3000", "two:3000"}, Namespace: "test", Prefix: "flights", Timeout: defaultTimeout,
		RetryFor: defaultRetryFor, Concurrency: defaultConcurrency, RecordBytes: defaultRecordBytes,
	}
	if !reflect.DeepEqual(c, want) {
		t.Errorf("with defaults it is %+v\nwant %+v", c, want)
	}
	m := defaults()
	for name, v := range map[string]string{
		"prefix": "p", "cluster": "c", "user": "u", "password": "secret", "timeout": "7s", "retry-for": "8s", "concurrency": "9",
		"record-bytes": "131072", "garbage-ttl": "1h", "tls-name": "servers",
	} {
		m["aerospike-"+name] = v
	}
	if c, err = Configure("flights", m); err != nil {
		t.Fatal(err)
	}
	if c.TLS == nil || c.TLS.ServerName != "servers" {
		t.Errorf("a TLS setting does not turn TLS on: %+v", c.TLS)
	}
	c.TLS = nil
	want = Config{
		Hosts: want.Hosts, Namespace: "test", Prefix: "p", ClusterName: "c", User: "u", Password: "secret", Timeout: 7 * time.Second,
		RetryFor: 8 * time.Second, Concurrency: 9, RecordBytes: 1 << 17, GarbageTTL: time.Hour, TLSName: "servers",
	}
	if !reflect.DeepEqual(c, want) {
		t.Errorf("with everything it is %+v\nwant %+v", c, want)
	}
}

func TestConfigureReportsAllMistakes(t *testing.T) {
	t.Parallel()
	bad := filepath.Join(t.TempDir(), "bad.pem")
	if err := os.WriteFile(bad, pem.EncodeToMemory(&pem.Block{Type: "POEM"}), 0o600); err != nil {
		t.Fatal(err)
	}
	m := defaults()
	for name, v := range map[string]string{
		"hosts": "", "namespace": " ", "timeout": "5", "retry-for": "-1s", "concurrency": "many", "tls": "perhaps", "tls-ca": bad, "tls-key": bad,
	} {
		m["aerospike-"+name] = v
	}
	_, err := Configure("flights", m)
	if err == nil {
		t.Fatal("all that is wrong was taken")
	}
	for _, want := range []string{
		"--aerospike-hosts (WEIR_AEROSPIKE_HOSTS): is not set", "--aerospike-namespace", "--aerospike-timeout", "--aerospike-retry-for",
		"--aerospike-concurrency", "--aerospike-tls ", "--aerospike-tls-ca", "--aerospike-tls-cert",
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q is not in\n%v", want, err)
		}
	}
	for _, app := range []string{"my.app", "über"} {
		if _, err := Configure(app, defaults()); err == nil || !strings.Contains(err.Error(), "--aerospike-prefix") {
			t.Errorf("the application %q gives %v", app, err)
		}
	}
	m = defaults()
	m["aerospike-hosts"], m["aerospike-password"] = "here", "secret"
	if _, err := Configure("flights", m); err == nil || !strings.Contains(err.Error(), "host:port") || !strings.Contains(err.Error(), "User is not") {
		t.Errorf("a host without a port and a password without a user give %v", err)
	}
}
