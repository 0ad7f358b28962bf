package aerospike

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"maps"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/weirstream/weir/core/store"
	"github.com/weirstream/weir/stores/aerospike/asfake"
)

// An authority signs certificates. Its files are what an operator has.
type authority struct {
	dir  string
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	a := &authority{dir: t.TempDir()}
	der, key := a.sign(t, &x509.Certificate{IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign})
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	a.cert, a.key = cert, key
	writePEM(t, a.file("ca"), "CERTIFICATE", der)
	return a
}

func (a *authority) file(name string) string { return filepath.Join(a.dir, name+".pem") }

// sign makes a certificate with a new key, signed by the authority, or by
// itself as long as there is none.
func (a *authority) sign(t *testing.T, c *x509.Certificate) ([]byte, *ecdsa.PrivateKey) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c.SerialNumber, c.Subject = big.NewInt(time.Now().UnixNano()), pkix.Name{CommonName: "weir"}
	c.NotBefore, c.NotAfter = time.Now().Add(-time.Hour), time.Now().Add(time.Hour)
	parent, signer := c, key
	if a.cert != nil {
		parent, signer = a.cert, a.key
	}
	der, err := x509.CreateCertificate(rand.Reader, c, parent, key.Public(), signer)
	if err != nil {
		t.Fatal(err)
	}
	return der, key
}

// issue makes a certificate and its key, and files of both.
func (a *authority) issue(t *testing.T, name string, use x509.ExtKeyUsage, dns ...string) tls.Certificate {
	t.Helper()
	der, key := a.sign(t, &x509.Certificate{ExtKeyUsage: []x509.ExtKeyUsage{use}, KeyUsage: x509.KeyUsageDigitalSignature, DNSNames: dns})
	b, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	writePEM(t, a.file(name), "CERTIFICATE", der)
	writePEM(t, a.file(name+"-key"), "PRIVATE KEY", b)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

func writePEM(t *testing.T, file, kind string, der []byte) {
	t.Helper()
	if err := os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
}

// TestTLS has a server whose certificate carries a name and not its address,
// and which wants one of the client: with settings that fit, state is written
// and read back; with any that does not, there is no connection.
func TestTLS(t *testing.T) {
	t.Parallel()
	ours, theirs := newAuthority(t), newAuthority(t)
	clients := x509.NewCertPool()
	clients.AddCert(ours.cert)
	server := ours.issue(t, "server", x509.ExtKeyUsageServerAuth, "aerospike.test")
	ours.issue(t, "client", x509.ExtKeyUsageClientAuth)
	theirs.issue(t, "client", x509.ExtKeyUsageClientAuth)
	srv := startFake(t, asfake.Options{TLS: &tls.Config{
		MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{server}, ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: clients,
	}})
	settings := defaults()
	maps.Copy(settings, map[string]string{
		"aerospike-hosts": srv.Addr(), "aerospike-timeout": "1m", "aerospike-tls-ca": ours.file("ca"), "aerospike-tls-cert": ours.file("client"),
		"aerospike-tls-key": ours.file("client-key"), "aerospike-tls-name": "aerospike.test",
	})

	h := someHistory(1)
	for gen, done := range []int{3, 6} {
		c, err := Configure("app", settings)
		if err != nil {
			t.Fatal(err)
		}
		s := openStore(t, c)
		rs, ps := h.open(t, s, store.Generation(gen+1))
		h.run(t, s, store.Generation(gen+1), int(ps[0].Changelog)+1, done)
		for j := range rs {
			h.holds(t, rs[j], done, j)
		}
		closeStore(t, s)
	}
	if n := srv.Stats().Writes; n == 0 {
		t.Error("nothing was written")
	}

	for what, c := range map[string]struct {
		change map[string]string
		says   string
	}{
		"another name":                 {map[string]string{"name": "other.test"}, "aerospike.test, not other.test"},
		"no name, so the address":      {map[string]string{"name": ""}, "127.0.0.1"},
		"another authority":            {map[string]string{"ca": theirs.file("ca")}, "unknown authority"},
		"the system's authorities":     {map[string]string{"ca": ""}, "x509"},
		"another authority's client":   {map[string]string{"cert": theirs.file("client"), "key": theirs.file("client-key")}, "unknown certificate authority"},
		"no certificate of the client": {map[string]string{"cert": "", "key": ""}, "certificate required"},
		"no TLS":                       {map[string]string{"cert": "", "key": "", "ca": "", "name": ""}, srv.Addr()},
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			m := changed(settings, c.change)
			m["aerospike-timeout"] = "2s"
			cfg, err := Configure("app", m)
			if err != nil {
				t.Fatal(err)
			}
			s, err := Open(cfg)
			if err == nil {
				_ = s.Close()
				t.Fatal("there is a connection")
			}
			if !strings.Contains(err.Error(), c.says) {
				t.Errorf("%q is not in: %v", c.says, err)
			}
		})
	}
	for what, change := range map[string]map[string]string{
		"a key that is not the certificate's": {"key": theirs.file("client-key")},
		"a certificate without key":           {"key": ""},
		"a key without certificate":           {"cert": ""},
		"a file that is not there":            {"ca": ours.file("none")},
	} {
		if _, err := Configure("app", changed(settings, change)); err == nil || !strings.Contains(err.Error(), "--aerospike-tls-") {
			t.Errorf("%s: %v", what, err)
		}
	}
}

// changed returns settings with other answers to the TLS ones.
func changed(settings, change map[string]string) map[string]string {
	m := maps.Clone(settings)
	for name, v := range change {
		m["aerospike-tls-"+name] = v
	}
	return m
}
