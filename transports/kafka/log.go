package kafka

import (
	"context"
	"log/slog"
	"net"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// levelTrace is where franz-go's debug lines go: below slog's Debug.
const levelTrace = slog.LevelDebug - 4

// clientLog hands franz-go's log to slog. What franz-go calls info and
// warnings is chatter to the user of a worker (every retried dial is a
// warning there), so it goes to Debug; outages has the line that users see.
type clientLog struct {
	log *slog.Logger
}

// Level tells franz-go what is worth formatting.
func (l clientLog) Level() kgo.LogLevel {
	ctx := context.Background()
	switch {
	case l.log.Enabled(ctx, levelTrace):
		return kgo.LogLevelDebug
	case l.log.Enabled(ctx, slog.LevelDebug):
		return kgo.LogLevelInfo
	case l.log.Enabled(ctx, slog.LevelWarn):
		return kgo.LogLevelError
	}
	return kgo.LogLevelNone
}

// Log implements kgo.Logger.
func (l clientLog) Log(level kgo.LogLevel, msg string, keyvals ...any) {
	to := levelTrace
	switch level {
	case kgo.LogLevelError:
		to = slog.LevelWarn
	case kgo.LogLevelWarn, kgo.LogLevelInfo:
		to = slog.LevelDebug
	case kgo.LogLevelDebug, kgo.LogLevelNone:
	}
	l.log.Log(context.Background(), to, "kafka client: "+msg, keyvals...)
}

// Outages repeat their warning at growing intervals between these.
const (
	outageRepeat    = 5 * time.Second
	outageRepeatMax = 5 * time.Minute
)

// outages logs, for each broker, one warning when it cannot be reached, more
// at growing intervals, and one line when it is back. It is a kgo hook shared
// by all clients of a transport.
type outages struct {
	log *slog.Logger

	mu   sync.Mutex
	away map[string]*outage
}

type outage struct {
	since time.Time
	next  time.Time
	every time.Duration
}

func newOutages(log *slog.Logger) *outages {
	return &outages{log: log, away: map[string]*outage{}}
}

// OnBrokerConnect implements kgo.HookBrokerConnect.
func (o *outages) OnBrokerConnect(meta kgo.BrokerMetadata, _ time.Duration, _ net.Conn, err error) {
	addr := net.JoinHostPort(meta.Host, itoa(meta.Port))
	now := time.Now()
	o.mu.Lock()
	defer o.mu.Unlock()
	out := o.away[addr]
	switch {
	case err == nil && out != nil:
		delete(o.away, addr)
		o.log.Info("kafka broker is reachable again", "broker", addr, "away", now.Sub(out.since).Round(time.Millisecond))
	case err == nil || contextEnded(err):
	case out == nil:
		o.away[addr] = &outage{since: now, next: now.Add(outageRepeat), every: outageRepeat}
		o.log.Warn("kafka broker cannot be reached; retrying until it is back", "broker", addr, "error", err)
	case now.After(out.next):
		out.every = min(2*out.every, outageRepeatMax)
		out.next = now.Add(out.every)
		o.log.Warn("kafka broker still cannot be reached; retrying", "broker", addr,
			"away", now.Sub(out.since).Round(time.Second), "error", err)
	}
}
