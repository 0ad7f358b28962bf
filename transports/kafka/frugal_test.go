package kafka

import (
	"context"
	"fmt"
	"net"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/weirstream/weir/core/record"
	"github.com/weirstream/weir/runtime"
)

// Asking for the ends of a few partitions of a large topic asks for those alone:
// the topic's place before and after, and the leaders for both ends.
func TestOffsetsAskForLittle(t *testing.T) {
	t.Parallel()
	w := newWorld(t, map[string]int32{"large": 100}, kfake.NumBrokers(1))
	parts := []record.TopicPartition{tp("large", 3), tp("large", 97)}
	if _, err := w.Offsets(w.ctx, parts); err != nil {
		t.Fatal(err)
	}
	var most atomic.Int64
	metadata := w.asked(kmsg.Metadata)
	lists := w.asked(kmsg.ListOffsets, func(req kmsg.Request) {
		n := 0
		for _, topic := range req.(*kmsg.ListOffsetsRequest).Topics { //nolint:forcetypeassert // by its key
			n += len(topic.Partitions)
		}
		most.Store(max(most.Load(), int64(n)))
	})
	if _, err := w.Offsets(w.ctx, parts); err != nil {
		t.Fatal(err)
	}
	if m, l := metadata.Load(), lists.Load(); m != 2 || l != 2 || most.Load() != 2 {
		t.Errorf("%d requests for metadata and %d for offsets of up to %d partitions, want 2, 2 and 2", m, l, most.Load())
	}
}

// A fetcher waits as it is told, and never longer than the transport says.
func TestFetchersWait(t *testing.T) {
	t.Parallel()
	for wait, want := range map[time.Duration]int32{0: 20, 5 * time.Millisecond: 5, time.Minute: 20} {
		t.Run(fmt.Sprint(wait), func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, map[string]int32{"a": 1})
			waits := make(chan int32, 100)
			w.asked(kmsg.Fetch, func(req kmsg.Request) {
				select {
				case waits <- req.(*kmsg.FetchRequest).MaxWaitMillis: //nolint:forcetypeassert // by its key
				default:
				}
			})
			w.fetcher(runtime.FetchConfig{Wait: wait}).Set(map[record.TopicPartition]int64{tp("a", 0): 0})
			if got := <-waits; got != want {
				t.Errorf("it waits %d ms, want %d", got, want)
			}
		})
	}
}

// A fetcher has one connection to an address that the transport was given, and
// one to each broker. Where partitions are, it asks later on the transport's own
// connections, which are as many. All producers share a client for what is sent
// once.
func TestConnectionsAreFew(t *testing.T) {
	t.Parallel()
	const brokers, fetchers = 3, 4
	w := newWorld(t, map[string]int32{"a": 30}, kfake.NumBrokers(brokers))
	var dials atomic.Int64
	tr := w.connect(Config{Dialer: func(ctx context.Context, network, address string) (net.Conn, error) {
		dials.Add(1)
		return (&net.Dialer{}).DialContext(ctx, network, address)
	}})
	cl := w.raw()
	for p := range int32(30) {
		w.put(cl, tp("a", p), "v")
	}
	for range fetchers {
		f, err := tr.Fetcher(runtime.FetchConfig{})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(f.Close)
		for p := range int32(30) {
			f.Set(map[record.TopicPartition]int64{tp("a", p): 0})
			for read := false; !read; {
				for _, b := range f.Poll(w.ctx, 0) {
					read = read || b.TP == tp("a", p) && len(b.Records) == 1
				}
				if w.ctx.Err() != nil {
					t.Fatal("nothing came")
				}
			}
		}
	}
	if n, most := dials.Load(), int64((fetchers+1)*(1+brokers)); n > most {
		t.Errorf("%d connections of %d fetchers to %d brokers, want %d at most", n, fetchers, brokers, most)
	}
	one, err := tr.onceClient()
	if err != nil {
		t.Fatal(err)
	}
	two, err := tr.onceClient()
	if err != nil || one != two {
		t.Errorf("a client of its own for each producer (%v)", err)
	}
	if err := tr.Close(); err != nil {
		t.Fatal(err)
	}
	if err := one.Ping(w.ctx); err == nil {
		t.Error("the client outlives the transport")
	}
	if _, err := tr.onceClient(); err == nil {
		t.Error("a closed transport makes a client")
	}
}
