package kafka

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"log/slog"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"
	"github.com/twmb/franz-go/pkg/kversion"

	"github.com/weirstream/weir/core/record"
	"github.com/weirstream/weir/core/store"
	"github.com/weirstream/weir/runtime"
)

func logger(h slog.Handler) *slog.Logger { return slog.New(h) }

func contains(t *testing.T, err error, texts ...string) {
	t.Helper()
	for _, text := range texts {
		if err == nil || !strings.Contains(err.Error(), text) {
			t.Errorf("error does not say %q: %v", text, err)
		}
	}
}

// oldTransactions makes a cluster without KIP-890 part 2.
func oldTransactions() []kfake.Opt { return []kfake.Opt{kfake.MaxVersions(kversion.V3_8_0())} }

func TestConfigMistakes(t *testing.T) {
	t.Parallel()
	_, err := New(Config{
		Brokers: []string{"nowhere"}, TransactionTimeout: -1, RequestTimeout: time.Millisecond, FetchWait: time.Minute,
		Compression: "best", MaxBatchBytes: 1,
		TLS:  &TLSConfig{CAFile: "missing.pem", CertFile: "cert.pem"},
		SASL: &SASLConfig{Mechanism: "MAGIC"},
	})
	contains(t, err, `"nowhere"`, "transaction timeout", "request timeout", "fetch wait", `"best"`, "max batch bytes",
		"missing.pem", "both a cert file and a key file", `"MAGIC"`, "no user", "no password")
	_, err = New(Config{})
	contains(t, err, "no brokers")
}

func TestTopics(t *testing.T) {
	t.Parallel()
	w := newWorld(t, map[string]int32{"seeded": 3})
	spec := runtime.TopicSpec{Partitions: 4, Replicas: -1, Config: map[string]string{"cleanup.policy": "compact", "retention.ms": "12345"}}
	w.create("made", spec)
	requests := 0
	w.cluster.ControlKey(int16(kmsg.CreateTopics), func(kmsg.Request) (kmsg.Response, error, bool) {
		w.cluster.KeepControl()
		requests++
		return nil, nil, false
	})
	created, err := w.CreateTopics(w.ctx, map[string]runtime.TopicSpec{"z": spec, "made": spec, "none": {Replicas: 1}, "a": spec})
	if !errors.Is(err, kerr.InvalidPartitions) || !strings.Contains(err.Error(), "topic none") {
		t.Errorf("with a topic without partitions: %v", err)
	}
	same(t, "those made", created, []string{"a", "z"})
	if requests != 1 {
		t.Errorf("%d requests for four topics", requests)
	}
	w.cluster.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.CreateTopics}, Err: kerr.NotController, Count: 2})
	w.create("second", spec)
	w.cluster.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.CreateTopics}, Err: kerr.PolicyViolation})
	created, err = w.CreateTopics(w.ctx, map[string]runtime.TopicSpec{"refused": spec})
	if !errors.Is(err, kerr.PolicyViolation) || len(created) != 0 {
		t.Errorf("created against the policy: %v, %v", created, err)
	}
	got, err := w.Topics(w.ctx, "made", "none")
	if err != nil {
		t.Fatal(err)
	}
	made := got["made"]
	if len(got) != 1 || made.Partitions != 4 || made.Replicas < 1 || made.Config["cleanup.policy"] != "compact" || made.Config["retention.ms"] != "12345" {
		t.Errorf("described as %+v", got)
	}
	if _, ok := made.Config["retention.bytes"]; !ok {
		t.Errorf("no retention.bytes in %v", made.Config)
	}
	if got, err = w.Topics(w.ctx); err != nil || len(got) != 5 || got["seeded"].Partitions != 3 || got["seeded"].Config["cleanup.policy"] != "delete" {
		t.Errorf("all: %+v, %v", got, err)
	}
	for range 2 {
		if err := w.DeleteTopic(w.ctx, "made"); err != nil {
			t.Fatal(err)
		}
	}
	if got, err = w.Topics(w.ctx, "made"); err != nil || len(got) != 0 {
		t.Errorf("deleted, yet %v, %v", got, err)
	}
}

func TestOffsets(t *testing.T) {
	t.Parallel()
	w := newWorld(t, map[string]int32{"a": 2, "b": 1})
	w.put(w.raw(), tp("a", 1), "x", "y", "z")
	if err := w.DeleteRecords(w.ctx, map[record.TopicPartition]int64{tp("a", 1): 2}); err != nil {
		t.Fatal(err)
	}
	got, err := w.Offsets(w.ctx, []record.TopicPartition{tp("a", 1), tp("b", 0)})
	if err != nil {
		t.Fatal(err)
	}
	a, b := got[tp("a", 1)], got[tp("b", 0)]
	if len(got) != 2 || a.Start != 2 || a.End != 3 || b.Start != 0 || b.End != 0 {
		t.Errorf("offsets %v", got)
	}
	if _, err := w.Offsets(w.ctx, []record.TopicPartition{tp("b", 5)}); err == nil {
		t.Error("a partition that does not exist has offsets")
	}
}

// A topic that is made anew is another topic, whatever it holds.
func TestTopicIdentity(t *testing.T) {
	t.Parallel()
	w := newWorld(t, map[string]int32{"a": 2, "b": 1})
	identity := func(of record.TopicPartition) store.LogID {
		t.Helper()
		got, err := w.Offsets(w.ctx, []record.TopicPartition{of})
		if err != nil {
			t.Fatal(err)
		}
		return got[of].Topic
	}
	first := identity(tp("a", 0))
	if first == (store.LogID{}) || first != identity(tp("a", 1)) || first == identity(tp("b", 0)) {
		t.Fatalf("topic a is %s and %s, topic b %s", first, identity(tp("a", 1)), identity(tp("b", 0)))
	}
	if err := w.DeleteTopic(w.ctx, "a"); err != nil {
		t.Fatal(err)
	}
	w.create("a", runtime.TopicSpec{Partitions: 2, Replicas: 1})
	if again := identity(tp("a", 0)); again == first || again == (store.LogID{}) {
		t.Errorf("topic a is %s, and was %s before it was made anew", again, first)
	}
}

// Brokers that are down at start are waited for, with one warning and one
// line when they are there.
func TestBrokersComeLater(t *testing.T) {
	t.Parallel()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := ln.Addr().(*net.TCPAddr) //nolint:forcetypeassert // tcp
	_ = ln.Close()
	w := &world{t: t}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	t.Cleanup(cancel)
	w.ctx = ctx
	log := newLogged()
	w.Transport = w.connect(Config{Brokers: []string{addr.String()}, Logger: logger(log)})

	type answer struct {
		p   runtime.Producer
		err error
	}
	opened := make(chan answer, 1)
	go func() {
		p, err := w.Producer(ctx, "lane")
		opened <- answer{p, err}
	}()
	l := newListener()
	w.join(w.Transport, l, "app", "in")
	f := w.fetcher(runtime.FetchConfig{})
	f.Set(map[record.TopicPartition]int64{tp("in", 0): 0})
	log.wait(w, "kafka broker cannot be reached")

	if w.cluster, err = kfake.NewCluster(kfake.Ports(addr.Port), kfake.SeedTopics(1, "in")); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.cluster.Close)
	a := <-opened
	if a.err != nil {
		t.Fatal(a.err)
	}
	log.wait(w, "kafka broker is reachable again")
	l.wait(w, "assignment", func() bool { return len(l.owned) == 1 })
	res := a.p.Commit(ctx, runtime.Commit{Records: [][]record.Record{records(tp("in", 0), "a")}})
	if res.Outcome != runtime.Committed {
		t.Fatal(res)
	}
	same(t, "read", w.read(f, tp("in", 0), 0, 1), []string{"a"})
	warnings := 0
	for _, line := range log.all() {
		if strings.HasPrefix(line, "WARN") && !strings.Contains(line, "group membership") {
			warnings++
		}
	}
	if warnings > 2 {
		t.Errorf("too much noise: %q", log.all())
	}
}

// A network that goes away under everything at once comes back unnoticed.
func TestConnectionsCut(t *testing.T) {
	t.Parallel()
	w := newWorld(t, map[string]int32{"in": 2, "out": 1}, kfake.NumBrokers(2))
	network := &cut{}
	log := newLogged()
	w.Transport = w.connect(Config{Dialer: network.dial, Logger: logger(log)})
	l := newListener()
	g := w.join(w.Transport, l, "app", "in")
	l.wait(w, "assignment", func() bool { return len(l.owned) == 2 })
	p := w.producer("lane")
	f := w.fetcher(runtime.FetchConfig{})
	var want []string
	for i, value := range []string{"a", "b", "c", "d"} {
		want = append(want, value)
		network.set(i%2 == 0)
		if i%2 == 0 {
			failing := log.seen
			go func() { <-failing; network.set(false) }()
		}
		res := p.Commit(w.ctx, runtime.Commit{
			Records: [][]record.Record{records(tp("out", 0), value)}, Group: g,
			Offsets: map[record.TopicPartition]runtime.Offset{tp("in", 0): {At: int64(i + 1)}},
		})
		if res.Outcome != runtime.Committed {
			t.Fatal(res)
		}
		same(t, "read", w.read(f, tp("out", 0), 0, w.end(tp("out", 0))), want)
	}
	if got, err := g.Committed(w.ctx, []record.TopicPartition{tp("in", 0)}); err != nil || got[tp("in", 0)].At != 4 {
		t.Fatalf("committed %v, %v", got, err)
	}
}

// Leaders and coordinators that move are followed.
func TestLeadersMove(t *testing.T) {
	t.Parallel()
	w := newWorld(t, map[string]int32{"in": 2, "out": 2}, kfake.NumBrokers(3))
	l := newListener()
	g := w.join(w.Transport, l, "app", "in")
	l.wait(w, "assignment", func() bool { return len(l.owned) == 2 })
	p := w.producer("lane")
	f := w.fetcher(runtime.FetchConfig{})
	var want []string
	for i := range 9 {
		value := string(rune('a' + i))
		want = append(want, value)
		if err := w.cluster.MoveTopicPartition("out", 1, int32(i%3)); err != nil {
			t.Fatal(err)
		}
		res := p.Commit(w.ctx, runtime.Commit{
			Records: [][]record.Record{records(tp("out", 1), value)}, Group: g,
			Offsets: map[record.TopicPartition]runtime.Offset{tp("in", 0): {At: int64(i + 1)}},
		})
		if res.Outcome != runtime.Committed {
			t.Fatal(res)
		}
		same(t, "read", w.read(f, tp("out", 1), 0, w.end(tp("out", 1))), want)
	}
}

func TestCallsEndWithTheirContext(t *testing.T) {
	t.Parallel()
	w := &world{t: t}
	tr := w.connect(Config{Brokers: []string{"127.0.0.1:1"}})
	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	_, errTopics := tr.Topics(ctx, "a")
	_, errOffsets := tr.Offsets(ctx, []record.TopicPartition{tp("a", 0)})
	_, errProducer := tr.Producer(ctx, "lane")
	_, errCreate := tr.CreateTopics(ctx, map[string]runtime.TopicSpec{"a": {Partitions: 1}})
	for _, err := range []error{
		errTopics, errOffsets, errProducer, errCreate,
		tr.DeleteTopic(ctx, "a"),
		tr.DeleteRecords(ctx, map[record.TopicPartition]int64{tp("a", 0): 1}),
	} {
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("error %v", err)
		}
	}
}

func TestClosedTransport(t *testing.T) {
	t.Parallel()
	w := newWorld(t, map[string]int32{"in": 1})
	l := newListener()
	w.join(w.Transport, l, "app", "in")
	p, f := w.producer("lane"), w.fetcher(runtime.FetchConfig{})
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if res := p.Commit(w.ctx, runtime.Commit{Records: [][]record.Record{records(tp("in", 0), "a")}}); res.Outcome != runtime.Aborted {
		t.Errorf("commit: %v", res)
	}
	if got := f.Poll(w.ctx, 0); got != nil {
		t.Errorf("poll: %v", got)
	}
	if _, err := w.Transport.Fetcher(runtime.FetchConfig{}); !errors.Is(err, errClosed) {
		t.Errorf("fetcher: %v", err)
	}
	if _, err := w.Join(w.ctx, runtime.GroupConfig{Group: "g", Topics: []string{"in"}, Assignor: roundRobin{}}, l); !errors.Is(err, errClosed) {
		t.Errorf("join: %v", err)
	}
}

// selfSigned writes a certificate for 127.0.0.1 and returns it and its file.
func selfSigned(t *testing.T) (tls.Certificate, string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "weir test"}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, DNSNames: []string{"broker.test"},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	var buf bytes.Buffer
	if err := pem.Encode(&buf, &pem.Block{Type: "CERTIFICATE", Bytes: der}); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(file, buf.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, file
}

func TestTLSAndSASL(t *testing.T) {
	t.Parallel()
	cert, ca := selfSigned(t)
	for _, mechanism := range []string{MechanismPlain, MechanismSCRAMSHA256, MechanismSCRAMSHA512} {
		t.Run(mechanism, func(t *testing.T) {
			t.Parallel()
			cluster, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.EnableSASL(), kfake.Superuser(mechanism, "weir", "secret"),
				kfake.TLS(&tls.Config{Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS12}), kfake.SeedTopics(1, "in"))
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(cluster.Close)
			ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
			t.Cleanup(cancel)
			w := &world{t: t, ctx: ctx, cluster: cluster}
			sasl := &SASLConfig{Mechanism: mechanism, User: "weir", Password: "secret"}
			for _, name := range []string{"", "broker.test"} {
				tr := w.connect(Config{TLS: &TLSConfig{CAFile: ca, ServerName: name}, SASL: sasl})
				if got, err := tr.Topics(ctx, "in"); err != nil || len(got) != 1 {
					t.Errorf("server name %q: %v, %v", name, got, err)
				}
			}
			// kfake hangs up on a wrong password, where Kafka says so.
			short, stop := context.WithTimeout(ctx, time.Second)
			defer stop()
			wrong := w.connect(Config{TLS: &TLSConfig{CAFile: ca}, SASL: &SASLConfig{Mechanism: mechanism, User: "weir", Password: "guess"}})
			if _, err := wrong.Topics(short, "in"); err == nil {
				t.Error("a wrong password is let in")
			}
			strangers := w.connect(Config{TLS: &TLSConfig{}, SASL: sasl})
			if _, err := strangers.Topics(ctx, "in"); err == nil || ctx.Err() != nil {
				t.Error("an unknown authority is trusted")
			}
			misnamed := w.connect(Config{TLS: &TLSConfig{CAFile: ca, ServerName: "else.test"}, SASL: sasl})
			if _, err := misnamed.Topics(ctx, "in"); err == nil || ctx.Err() != nil {
				t.Error("a certificate for another name is trusted")
			}
		})
	}
}

// The keys that the transport caps must exist under these names.
func TestVersionsAreCapped(t *testing.T) {
	t.Parallel()
	v := versions(4)
	for key, want := range map[kmsg.Key]int16{kmsg.TxnOffsetCommit: 4, kmsg.OffsetCommit: 9, kmsg.OffsetFetch: 9} {
		if got, ok := v.LookupMaxKeyVersion(key.Int16()); !ok || got != want {
			t.Errorf("%v: %d", key, got)
		}
	}
}
