package pebble

import (
	"fmt"

	"github.com/cockroachdb/pebble/v2"
)

// A logger passes Pebble's words on. Fatalf must not end the process: it
// makes the store fail instead.
type logger struct{ disk *disk }

var _ pebble.Logger = logger{}

func (l logger) Infof(format string, args ...any) {
	l.disk.log.Debug("pebble: " + fmt.Sprintf(format, args...))
}

func (l logger) Errorf(format string, args ...any) {
	l.disk.log.Error("pebble: " + fmt.Sprintf(format, args...))
}

func (l logger) Fatalf(format string, args ...any) { l.disk.fail(fmt.Errorf(format, args...)) }

// listener reports what an operator should see, and what the store acts upon.
func (s *Store) listener() *pebble.EventListener {
	log := s.disk.log
	l := &pebble.EventListener{
		BackgroundError: func(err error) {
			log.Error("background work of the store failed and will be tried again; check that the disk has room", "error", err)
		},
		DataCorruption: func(info pebble.DataCorruptionInfo) {
			log.Error("the store found a damaged file", "file", info.Path, "error", info.Details)
			s.damage.add(info.Path)
		},
		FlushEnd:      func(pebble.FlushInfo) { s.stall.changed() },
		CompactionEnd: func(pebble.CompactionInfo) { s.stall.changed() },
		WriteStallBegin: func(info pebble.WriteStallBeginInfo) {
			log.Warn("writes wait for the store's background work", "reason", info.Reason)
		},
		WriteStallEnd: func() { log.Info("writes go on") },
	}
	l.EnsureDefaults(nil)
	return l
}
