package simnet

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

const server = "127.0.0.1:9092"

// pair connects host "a" with the server.
func pair(t *testing.T, n *Network) (client, far net.Conn) {
	t.Helper()
	ln, err := n.Listen("tcp", server)
	if err != nil {
		t.Fatal(err)
	}
	client, err = n.Dialer("a")(t.Context(), "tcp", server)
	if err != nil {
		t.Fatal(err)
	}
	if far, err = ln.Accept(); err != nil {
		t.Fatal(err)
	}
	return client, far
}

func write(t *testing.T, c net.Conn, s string) {
	t.Helper()
	if _, err := io.WriteString(c, s); err != nil {
		t.Fatal(err)
	}
}

func read(t *testing.T, c net.Conn, n int) string {
	t.Helper()
	b := make([]byte, n)
	if _, err := io.ReadFull(c, b); err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestDelaysFollowFromTheSeed(t *testing.T) {
	t.Parallel()
	arrivals := func(seed uint64) (s string) {
		synctest.Test(t, func(t *testing.T) {
			n := New(Config{Seed: seed, MinDelay: time.Millisecond, MaxDelay: 20 * time.Millisecond})
			client, far := pair(t, n)
			start := time.Now()
			for i := range 10 {
				write(t, client, fmt.Sprint(i))
			}
			for i := range 10 {
				if got := read(t, far, 1); got != fmt.Sprint(i) {
					t.Errorf("read %q, want %d: a connection keeps order", got, i)
				}
				d := time.Since(start)
				if d < time.Millisecond || d > 20*time.Millisecond {
					t.Errorf("arrived after %s", d)
				}
				s += d.String() + " "
			}
		})
		return s
	}
	if a, b := arrivals(7), arrivals(7); a != b {
		t.Errorf("one seed, two networks:\n%s\n%s", a, b)
	}
	if a, b := arrivals(7), arrivals(8); a == b {
		t.Errorf("two seeds, one network: %s", a)
	}
}

func TestHoldIsOneWay(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n := New(Config{})
		client, far := pair(t, n)
		n.Hold("a", server)
		write(t, client, "up")
		write(t, far, "down")
		if got := read(t, client, 4); got != "down" {
			t.Errorf("read %q", got)
		}
		_ = far.SetReadDeadline(time.Now().Add(time.Second))
		if _, err := far.Read(make([]byte, 2)); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("reading what is held: %v", err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := n.Dialer("a")(ctx, "tcp", server); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("dialing across a partition: %v", err)
		}
		time.AfterFunc(time.Minute, func() { n.Release("a", server) })
		_ = far.SetReadDeadline(time.Time{})
		start := time.Now()
		if got := read(t, far, 2); got != "up" || time.Since(start) != time.Minute {
			t.Errorf("read %q after %s", got, time.Since(start))
		}
	})
}

func TestQuiet(t *testing.T) {
	t.Parallel()
	n := New(Config{})
	client, far := pair(t, n)
	quiet := func(want bool, when string) {
		t.Helper()
		if n.Quiet(server) != want {
			t.Errorf("%s: quiet is %t", when, !want)
		}
	}
	quiet(true, "at the start")
	n.Hold("a", server)
	write(t, client, "up")
	write(t, far, "down")
	_ = client.Close()
	quiet(false, "held, from a host that is gone")
	n.Release("a", server)
	quiet(false, "not read yet")
	read(t, far, 1)
	quiet(false, "half read")
	read(t, far, 1)
	quiet(true, "read")
}

func TestQuietWhenLost(t *testing.T) {
	t.Parallel()
	for name, lose := range map[string]func(*Network, net.Conn){
		"reset":                func(n *Network, _ net.Conn) { n.Reset("a", server) },
		"half open":            func(n *Network, _ net.Conn) { n.HalfOpen("a", server) },
		"closed by the server": func(_ *Network, far net.Conn) { _ = far.Close() },
	} {
		n := New(Config{})
		client, far := pair(t, n)
		write(t, client, "lost")
		if n.Quiet(server) {
			t.Errorf("%s: quiet before", name)
		}
		if lose(n, far); !n.Quiet(server) {
			t.Errorf("%s: not quiet", name)
		}
	}
}

func TestResetAndHalfOpen(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n := New(Config{MinDelay: time.Millisecond, MaxDelay: 2 * time.Millisecond})
		client, far := pair(t, n)
		write(t, client, "lost")
		if k := n.Reset("a", server); k != 1 {
			t.Errorf("%d connections were reset, want 1", k)
		}
		for _, c := range []net.Conn{client, far} {
			if _, err := c.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
				t.Errorf("read after a reset: %v", err)
			}
			if _, err := c.Write([]byte("x")); !errors.Is(err, syscall.ECONNRESET) {
				t.Errorf("write after a reset: %v", err)
			}
		}
	})
	synctest.Test(t, func(t *testing.T) {
		n := New(Config{})
		client, far := pair(t, n)
		n.HalfOpen("a", server)
		if _, err := client.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("read on the broken side: %v", err)
		}
		write(t, far, "into the void")
		_ = far.SetReadDeadline(time.Now().Add(time.Hour))
		if _, err := far.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("read on the side that knows nothing: %v", err)
		}
	})
}

func TestJumble(t *testing.T) {
	t.Parallel()
	orders := make(map[string]bool)
	for seed := range uint64(20) {
		synctest.Test(t, func(t *testing.T) {
			n := New(Config{Seed: seed})
			ln, err := n.Listen("tcp", server)
			if err != nil {
				t.Fatal(err)
			}
			names := []string{"x", "y", "z"}
			clients := make(map[string]net.Conn)
			order := make(chan string, len(names))
			for _, name := range names {
				if clients[name], err = n.Dialer("a")(t.Context(), "tcp", server); err != nil {
					t.Fatal(err)
				}
				far, err := ln.Accept()
				if err != nil {
					t.Fatal(err)
				}
				go func() {
					if got := read(t, far, 4); got != name+"1"+name+"2" {
						t.Errorf("read %q: a connection keeps order", got)
					}
					order <- name
				}()
			}
			n.Hold("a", server)
			for _, name := range names {
				write(t, clients[name], name+"1")
				write(t, clients[name], name+"2")
			}
			n.Jumble("a", server, time.Second)
			orders[<-order+<-order+<-order] = true
		})
	}
	if len(orders) < 3 {
		t.Errorf("20 seeds gave these orders only: %v", orders)
	}
}

func TestTapCutsInMidFrame(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n := New(Config{Tap: func(w Write) Verdict {
			if string(w.Data) == "frame" && w.Dialed && w.From == "a" {
				return Verdict{Reset: true, Keep: 3}
			}
			return Verdict{}
		}})
		client, far := pair(t, n)
		write(t, client, "ok")
		write(t, client, "frame")
		if got := read(t, far, 5); got != "okfra" {
			t.Errorf("read %q", got)
		}
		if _, err := far.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("read after the cut: %v", err)
		}
	})
}

func TestCloseDeliversWhatWasWritten(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n := New(Config{MinDelay: time.Second})
		client, far := pair(t, n)
		write(t, client, "bye")
		if err := client.Close(); err != nil {
			t.Fatal(err)
		}
		if b, err := io.ReadAll(far); err != nil || string(b) != "bye" {
			t.Errorf("read %q, %v", b, err)
		}
	})
}

func TestPauseOutlastsDeadlines(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n := New(Config{})
		client, far := pair(t, n)
		n.Pause("a")
		write(t, far, "hello")
		time.AfterFunc(time.Hour, func() { n.Resume("a") })
		_ = client.SetReadDeadline(time.Now().Add(time.Second))
		start := time.Now()
		if got := read(t, client, 5); got != "hello" || time.Since(start) != time.Hour {
			t.Errorf("a paused host read %q after %s", got, time.Since(start))
		}
	})
}

func TestKill(t *testing.T) {
	t.Parallel()
	for _, silent := range []bool{true, false} {
		synctest.Test(t, func(t *testing.T) {
			n := New(Config{})
			client, far := pair(t, n)
			write(t, client, "last words")
			n.Kill("a", silent)
			if got := read(t, far, 10); got != "last words" {
				t.Errorf("read %q", got)
			}
			_ = far.SetReadDeadline(time.Now().Add(time.Hour))
			want := error(os.ErrDeadlineExceeded)
			if !silent {
				want = syscall.ECONNRESET
			}
			if _, err := far.Read(make([]byte, 1)); !errors.Is(err, want) {
				t.Errorf("silent %t: the peer read %v, want %v", silent, err, want)
			}
			// The dead host's goroutine never comes back; free it for the
			// bubble to end.
			back := make(chan error, 1)
			go func() { _, err := client.Write([]byte("ghost")); back <- err }()
			synctest.Wait()
			select {
			case err := <-back:
				t.Errorf("a dead host wrote: %v", err)
			default:
			}
			n.mu.Lock()
			n.host("a").dead = false
			n.host("a").wake.Broadcast()
			n.mu.Unlock()
			<-back
		})
	}
}

func TestDialRefused(t *testing.T) {
	t.Parallel()
	n := New(Config{})
	if _, err := n.Dialer("a")(t.Context(), "tcp", server); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("dialing nobody: %v", err)
	}
}
