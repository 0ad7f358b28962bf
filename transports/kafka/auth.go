package kafka

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"os"

	"github.com/twmb/franz-go/pkg/sasl"
	"github.com/twmb/franz-go/pkg/sasl/plain"
	"github.com/twmb/franz-go/pkg/sasl/scram"
)

// validate reports the mistakes of the TLS settings; files are read, so that
// a missing one is found at start.
func (t *TLSConfig) validate() []error {
	var errs []error
	if (t.CertFile == "") != (t.KeyFile == "") {
		errs = append(errs, errors.New("tls: a client certificate needs both a cert file and a key file"))
	} else if _, err := t.certificates(); err != nil {
		errs = append(errs, err)
	}
	if _, err := t.roots(); err != nil {
		errs = append(errs, err)
	}
	return errs
}

func (t *TLSConfig) certificates() ([]tls.Certificate, error) {
	if t.CertFile == "" {
		return nil, nil
	}
	cert, err := tls.LoadX509KeyPair(t.CertFile, t.KeyFile)
	if err != nil {
		return nil, fmt.Errorf("tls: cannot load the client certificate: %w", err)
	}
	return []tls.Certificate{cert}, nil
}

// roots returns nil for those of the system.
func (t *TLSConfig) roots() (*x509.CertPool, error) {
	if t.CAFile == "" {
		return nil, nil //nolint:nilnil // a nil pool is the system's, by crypto/tls
	}
	pem, err := os.ReadFile(t.CAFile)
	if err != nil {
		return nil, fmt.Errorf("tls: cannot read the CA file: %w", err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("tls: the CA file %s holds no PEM certificate", t.CAFile)
	}
	return pool, nil
}

// dialer puts TLS on top of the plain dialer where it is asked for.
func (c Config) dialer() (func(ctx context.Context, network, address string) (net.Conn, error), error) {
	if c.TLS == nil {
		return c.Dialer, nil
	}
	certs, err := c.TLS.certificates()
	if err != nil {
		return nil, err
	}
	roots, err := c.TLS.roots()
	if err != nil {
		return nil, err
	}
	base := &tls.Config{
		MinVersion:         tls.VersionTLS12,
		Certificates:       certs,
		RootCAs:            roots,
		ServerName:         c.TLS.ServerName,
		InsecureSkipVerify: c.TLS.InsecureSkipVerify, //nolint:gosec // the user's explicit choice
	}
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := c.Dialer(ctx, network, address)
		if err != nil {
			return nil, err
		}
		cfg := base
		if cfg.ServerName == "" {
			cfg = base.Clone()
			if cfg.ServerName, _, err = net.SplitHostPort(address); err != nil {
				cfg.ServerName = address
			}
		}
		client := tls.Client(conn, cfg)
		if err := client.HandshakeContext(ctx); err != nil {
			_ = conn.Close()
			return nil, fmt.Errorf("tls handshake with %s: %w", address, err)
		}
		return client, nil
	}, nil
}

func (s *SASLConfig) validate() []error {
	var errs []error
	if s.mechanism() == nil {
		errs = append(errs, fmt.Errorf("sasl: mechanism %q is unknown: use %s, %s or %s",
			s.Mechanism, MechanismPlain, MechanismSCRAMSHA256, MechanismSCRAMSHA512))
	}
	if s.User == "" {
		errs = append(errs, errors.New("sasl: no user"))
	}
	if s.Password == "" {
		errs = append(errs, errors.New("sasl: no password"))
	}
	return errs
}

// mechanism returns nil for one that is not known.
func (s *SASLConfig) mechanism() sasl.Mechanism {
	switch s.Mechanism {
	case MechanismPlain:
		return plain.Auth{User: s.User, Pass: s.Password}.AsMechanism()
	case MechanismSCRAMSHA256:
		return scram.Auth{User: s.User, Pass: s.Password}.AsSha256Mechanism()
	case MechanismSCRAMSHA512:
		return scram.Auth{User: s.User, Pass: s.Password}.AsSha512Mechanism()
	}
	return nil
}
