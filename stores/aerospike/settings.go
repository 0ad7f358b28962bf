package aerospike

import (
	"cmp"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/weirstream/weir/core/store"
)

// Settings are what an operator can say of this store, for the command of an
// application; Configure makes a Config of the answers.
func Settings() []store.Setting {
	return []store.Setting{
		{Name: "aerospike-hosts", Doc: "Aerospike servers to start from, host:port, separated by commas."},
		{Name: "aerospike-namespace", Doc: "Namespace that holds the tables; it exists on the servers."},
		{Name: "aerospike-prefix", Doc: "Begins the names of all sets, and keeps applications that share a namespace apart. Empty means the application's name."},
		{Name: "aerospike-cluster", Doc: "What the servers must call their cluster. Empty means that it is not checked."},
		{Name: "aerospike-user", Doc: "User to log in as. Empty means no login."},
		{Name: "aerospike-password", Secret: true, Doc: "Password of that user."},
		{Name: "aerospike-tls", Default: "false", Doc: "Connect with TLS. Any other TLS setting turns it on as well."},
		{Name: "aerospike-tls-ca", Doc: "PEM file of the authorities to trust. Empty trusts those of the system."},
		{Name: "aerospike-tls-cert", Doc: "PEM file with the client's certificate."},
		{Name: "aerospike-tls-key", Doc: "PEM file with the key of that certificate."},
		{Name: "aerospike-tls-name", Doc: "Name that the servers' certificates carry. Empty takes the cluster's, when that is set, and the host that is dialed otherwise."},
		{Name: "aerospike-timeout", Default: defaultTimeout.String(), Doc: "How long one attempt of one call may take, and connecting."},
		{Name: "aerospike-retry-for", Default: defaultRetryFor.String(), Doc: "How long a call is tried again while servers are away or overloaded; then the task opens again and waits."},
		{Name: "aerospike-concurrency", Default: strconv.Itoa(defaultConcurrency), Doc: "Connections to each server at most; a quarter of them for the batch calls of one operation."},
		{Name: "aerospike-record-bytes", Default: strconv.Itoa(defaultRecordBytes), Doc: "The servers' max-record-size in bytes, at least 65536; larger values are cut into several records."},
		{Name: "aerospike-garbage-ttl", Default: "0s", Doc: "Lets what dead incarnations leave expire after this instead of deleting it, since plain deletes of Community Edition come back. Needs nsup-period. 0 deletes."},
	}
}

// Configure makes a Config of settings by name, and reports all that is wrong
// with them at once. app is the application's name.
func Configure(app string, settings map[string]string) (Config, error) {
	a := answers{settings: settings}
	c := Config{
		Namespace: a.need("aerospike-namespace", "name a namespace of the servers"), Prefix: cmp.Or(a.text("aerospike-prefix"), app),
		ClusterName: a.text("aerospike-cluster"), User: a.text("aerospike-user"), Password: a.text("aerospike-password"),
		Timeout: a.duration("aerospike-timeout"), RetryFor: a.duration("aerospike-retry-for"),
		Concurrency: a.number("aerospike-concurrency"), RecordBytes: a.number("aerospike-record-bytes"),
		GarbageTTL: a.duration("aerospike-garbage-ttl"), TLSName: a.text("aerospike-tls-name"), TLS: a.tls(),
	}
	for _, h := range strings.Split(a.need("aerospike-hosts", "name at least one server as host:port"), ",") {
		if h = strings.TrimSpace(h); h != "" {
			c.Hosts = append(c.Hosts, h)
		}
	}
	if len(a.wrong) > 0 {
		return Config{}, errors.Join(a.wrong...)
	}
	if a.text("aerospike-prefix") == "" && strings.IndexFunc(app, notInName) >= 0 {
		return Config{}, fmt.Errorf("the application's name %q cannot begin the names of sets: set --aerospike-prefix to letters, digits, '-' and '_'", app)
	}
	_, err := c.withDefaults()
	return c, err
}

// answers reads settings and notes what is wrong with them.
type answers struct {
	settings map[string]string
	wrong    []error
}

func (a *answers) text(name string) string { return strings.TrimSpace(a.settings[name]) }

func (a *answers) badf(name, format string, args ...any) {
	a.wrong = append(a.wrong, fmt.Errorf("--%s (%s): "+format, append([]any{name, environment(name)}, args...)...))
}

// environment is the variable that a setting is taken from.
func environment(name string) string {
	return "WEIR_" + strings.ToUpper(strings.ReplaceAll(name, "-", "_"))
}

func (a *answers) need(name, what string) string {
	v := a.text(name)
	if v == "" {
		a.badf(name, "is not set: %s", what)
	}
	return v
}

func (a *answers) duration(name string) time.Duration {
	v := a.text(name)
	if v == "" {
		return 0
	}
	d, err := time.ParseDuration(v)
	if err != nil || d < 0 {
		a.badf(name, "%q is no duration: write 500ms, 30s or 2m", v)
	}
	return d
}

func (a *answers) number(name string) int {
	v := a.text(name)
	if v == "" {
		return 0
	}
	n, err := strconv.Atoi(v)
	if err != nil || n < 0 {
		a.badf(name, "%q is no number from 0 on", v)
	}
	return n
}

// tls returns the configuration of connections, nil for plain ones.
func (a *answers) tls() *tls.Config {
	on, err := strconv.ParseBool(cmp.Or(a.text("aerospike-tls"), "false"))
	if err != nil {
		a.badf("aerospike-tls", "%q is neither true nor false", a.text("aerospike-tls"))
	}
	ca, cert, key, name := a.text("aerospike-tls-ca"), a.text("aerospike-tls-cert"), a.text("aerospike-tls-key"), a.text("aerospike-tls-name")
	if !on && ca == "" && cert == "" && key == "" && name == "" {
		return nil
	}
	c := &tls.Config{MinVersion: tls.VersionTLS12, ServerName: name}
	if ca != "" {
		pem, err := os.ReadFile(ca)
		c.RootCAs = x509.NewCertPool()
		if err != nil || !c.RootCAs.AppendCertsFromPEM(pem) {
			a.badf("aerospike-tls-ca", "%s holds no certificates in PEM that can be read (%v)", ca, err)
		}
	}
	if cert != "" || key != "" {
		pair, err := tls.LoadX509KeyPair(cert, key)
		if err != nil {
			a.badf("aerospike-tls-cert", "the certificate and its key, --aerospike-tls-key, cannot be read: %v", err)
		}
		c.Certificates = []tls.Certificate{pair}
	}
	return c
}
