package asfake_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"math/big"
	"sync"
	"testing"
	"time"

	as "github.com/aerospike/aerospike-client-go/v7"
	"github.com/aerospike/aerospike-client-go/v7/types"

	"github.com/weirstream/weir/stores/aerospike/asfake"
)

type clock struct {
	mu  sync.Mutex
	now time.Time
}

func newClock() *clock { return &clock{now: time.Unix(1_700_000_000, 0)} }

func (c *clock) time() time.Time { c.mu.Lock(); defer c.mu.Unlock(); return c.now }

func (c *clock) advance(d time.Duration) { c.mu.Lock(); defer c.mu.Unlock(); c.now = c.now.Add(d) }

func key(t *testing.T, set, k string) *as.Key {
	t.Helper()
	key, err := as.NewKey("test", set, []byte(k))
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func put(t *testing.T, c *as.Client, set, k, v string) {
	t.Helper()
	if err := c.PutBins(nil, key(t, set, k), as.NewBin("v", v)); err != nil {
		t.Fatalf("putting %s: %v", k, err)
	}
}

func get(t *testing.T, c *as.Client, set, k string) string {
	t.Helper()
	p := as.NewPolicy()
	p.MaxRetries = 5
	r, err := c.Get(p, key(t, set, k))
	if err != nil {
		if err.Matches(types.KEY_NOT_FOUND_ERROR) {
			return ""
		}
		t.Fatalf("getting %s: %v", k, err)
	}
	return r.Bins["v"].(string)
}

func remove(t *testing.T, c *as.Client, set, k string) {
	t.Helper()
	if _, err := c.Delete(nil, key(t, set, k)); err != nil {
		t.Fatalf("deleting %s: %v", k, err)
	}
}

func TestRestart(t *testing.T) {
	t.Parallel()
	clock := newClock()
	s := start(t, asfake.Options{Now: clock.time})
	c := connect(t, s.Addr())
	put(t, c, "a", "old", "1")
	put(t, c, "a", "deleted", "1")
	put(t, c, "b", "truncated", "1")
	put(t, c, "a", "changed", "1")
	clock.advance(time.Minute / 2)
	remove(t, c, "a", "deleted")
	if err := c.Truncate(nil, "test", "b", nil); err != nil {
		t.Fatal(err)
	}
	if get(t, c, "a", "deleted") != "" || get(t, c, "b", "truncated") != "" {
		t.Fatal("what was deleted is there")
	}
	put(t, c, "a", "changed", "2")
	put(t, c, "a", "new", "1")
	clock.advance(500 * time.Millisecond)
	s.Restart(asfake.Restart{Lose: time.Second})
	for k, want := range map[string]string{"old": "1", "deleted": "1", "changed": "1", "new": ""} {
		if v := get(t, c, "a", k); v != want {
			t.Errorf("after a crash %s is %q, want %q", k, v, want)
		}
	}
	if get(t, c, "b", "truncated") != "1" {
		t.Error("a truncate did not come back")
	}
	remove(t, c, "a", "deleted")
	put(t, c, "a", "new", "2")
	s.Restart(asfake.Restart{})
	if get(t, c, "a", "new") != "2" || get(t, c, "a", "deleted") != "1" {
		t.Error("an orderly stop loses no write, and brings deleted records back")
	}
	put(t, c, "x", "kept", "1")
	put(t, c, "y", "lost", "1")
	s.Restart(asfake.Restart{Lose: time.Second, Keep: func(l asfake.Lost) bool { return l.Set == "x" }})
	if get(t, c, "x", "kept") != "1" || get(t, c, "y", "lost") != "" {
		t.Error("each write is lost or kept by itself")
	}
	s.Wipe()
	if n := s.Records(""); n != 0 || get(t, c, "a", "old") != "" {
		t.Errorf("%d records after a wipe", n)
	}
}

func TestExpiry(t *testing.T) {
	t.Parallel()
	clock := newClock()
	s := start(t, asfake.Options{Now: clock.time})
	c := connect(t, s.Addr())
	p := as.NewWritePolicy(0, 60)
	if err := c.PutBins(p, key(t, "a", "k"), as.NewBin("v", "1")); err != nil {
		t.Fatal(err)
	}
	clock.advance(59 * time.Second)
	if get(t, c, "a", "k") != "1" {
		t.Error("expired early")
	}
	clock.advance(time.Second)
	if get(t, c, "a", "k") != "" || s.Records("a") != 0 {
		t.Error("did not expire")
	}
	s.Restart(asfake.Restart{})
	if get(t, c, "a", "k") != "" {
		t.Error("an expired record came back")
	}
	c = connect(t, start(t, asfake.Options{NoExpiry: true}).Addr())
	err := c.PutBins(p, key(t, "a", "k"), as.NewBin("v", "1"))
	if err == nil || !err.Matches(types.FAIL_FORBIDDEN) {
		t.Errorf("a time to live without nsup-period gives %v", err)
	}
}

func TestFaults(t *testing.T) {
	t.Parallel()
	s := start(t, asfake.Options{})
	c := connect(t, s.Addr())
	p := as.NewWritePolicy(0, 0)
	p.MaxRetries, p.TotalTimeout, p.SocketTimeout = 0, 50*time.Millisecond, 50*time.Millisecond
	for _, f := range []struct {
		name    string
		fault   asfake.Fault
		code    types.ResultCode
		applied bool
	}{
		{"drop before", asfake.Fault{DropBefore: true}, types.NETWORK_ERROR, false},
		{"drop after", asfake.Fault{DropAfter: true}, types.NETWORK_ERROR, true},
		{"overload", asfake.Fault{Code: asfake.DeviceOverload}, types.DEVICE_OVERLOAD, false},
		{"unavailable", asfake.Fault{Code: asfake.PartitionUnavailable}, types.PARTITION_UNAVAILABLE, false},
		{"timeout applied", asfake.Fault{Code: asfake.Timeout, Applied: true}, types.TIMEOUT, true},
		{"late answer", asfake.Fault{Delay: 200 * time.Millisecond}, types.TIMEOUT, true},
	} {
		f.fault.Times = 1
		f.fault.When = func(r asfake.Request) bool { return r.Write && r.Set == f.name }
		s.Inject(f.fault)
		err := c.PutBins(p, key(t, f.name, "k"), as.NewBin("v", "1"))
		if err == nil || !err.Matches(f.code) {
			t.Errorf("%s gives %v", f.name, err)
		}
		if applied := get(t, c, f.name, "k") == "1"; applied != f.applied {
			t.Errorf("%s: applied is %t", f.name, applied)
		}
		put(t, c, f.name, "k2", "1") // once only
	}
	undo := s.Inject(asfake.Fault{Code: asfake.KeyBusy, Every: 2})
	defer undo()
	var batch []as.BatchRecordIfc
	for _, k := range []string{"a", "b", "c", "d"} {
		batch = append(batch, as.NewBatchWrite(nil, key(t, "batch", k), as.PutOp(as.NewBin("v", k))))
	}
	_ = c.BatchOperate(nil, batch)
	for i, r := range batch {
		if want := []types.ResultCode{types.OK, types.KEY_BUSY}[i%2]; r.BatchRec().ResultCode != want {
			t.Errorf("record %d of a batch gives %v, want %v", i, r.BatchRec().ResultCode, want)
		}
	}
}

func TestLogin(t *testing.T) {
	t.Parallel()
	s := start(t, asfake.Options{User: "weir", Password: "secret"})
	c := connect(t, s.Addr(), func(p *as.ClientPolicy) { p.User, p.Password = "weir", "secret" })
	put(t, c, "a", "k", "1")
	hosts, err := as.NewHosts(s.Addr())
	if err != nil {
		t.Fatal(err)
	}
	for _, password := range []string{"wrong", ""} {
		p := as.NewClientPolicy()
		p.Timeout, p.FailIfNotConnected = time.Second, true
		if password != "" {
			p.User, p.Password = "weir", password
		}
		if c, err := as.NewClientWithPolicyAndHost(p, hosts...); err == nil {
			c.Close()
			t.Errorf("connected with password %q", password)
		}
	}
}

func TestTLS(t *testing.T) {
	t.Parallel()
	server, client := certificates(t)
	s := start(t, asfake.Options{TLS: server})
	p := as.NewClientPolicy()
	p.Timeout, p.TlsConfig = 5*time.Second, client
	hosts, err := as.NewHosts(s.Addr())
	if err != nil {
		t.Fatal(err)
	}
	hosts[0].TLSName = "aerospike.test"
	c, err := as.NewClientWithPolicyAndHost(p, hosts...)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	put(t, c, "a", "k", "1")
	if get(t, c, "a", "k") != "1" {
		t.Error("nothing there")
	}
}

func certificates(t *testing.T) (server, client *tls.Config) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), DNSNames: []string{"aerospike.test"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, private.Public(), private)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(cert)
	return &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: private}}, MinVersion: tls.VersionTLS12},
		&tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}
}

func TestGenerationsHave16Bits(t *testing.T) {
	t.Parallel()
	c := connect(t, start(t, asfake.Options{}).Addr())
	k := key(t, "a", "k")
	const writes = 1<<16 + 1
	var batch []as.BatchRecordIfc
	for i := 0; i < writes; i++ {
		batch = append(batch, as.NewBatchWrite(nil, k, as.PutOp(as.NewBin("v", "x"))))
	}
	p := as.NewBatchPolicy()
	p.TotalTimeout, p.SocketTimeout = time.Minute, time.Minute
	if err := c.BatchOperate(p, batch); err != nil {
		t.Fatal(err)
	}
	r, err := c.Get(nil, k)
	if err != nil || r.Generation != 2 {
		t.Fatalf("after %d writes: %v, %v; want generation 2", writes, r, err)
	}
}

func TestUnknownRequestsAreRefused(t *testing.T) {
	t.Parallel()
	c := connect(t, start(t, asfake.Options{}).Addr())
	put(t, c, "a", "k", "1")
	p := as.NewWritePolicy(0, 0)
	p.FilterExpression = as.ExpEq(as.ExpStringBin("v"), as.ExpStringVal("1"))
	if err := c.PutBins(p, key(t, "a", "k"), as.NewBin("v", "2")); err == nil || !err.Matches(types.UNSUPPORTED_FEATURE) {
		t.Errorf("a filter gives %v", err)
	}
	other, err := as.NewKey("nowhere", "a", "k")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Get(nil, other); err == nil {
		t.Error("a namespace that is not there was read")
	}
}
