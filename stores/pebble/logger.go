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

// listener reports what an operator should see. Damage found in the
// background is only logged: reads of damaged blocks fail by themselves.
func listener(d *disk) *pebble.EventListener {
	l := &pebble.EventListener{
		BackgroundError: func(err error) {
			d.log.Error("background work of the store failed and will be tried again; check that the disk has room", "error", err)
		},
		DataCorruption: func(info pebble.DataCorruptionInfo) {
			d.log.Error("the store found a damaged file", "file", info.Path, "error", info.Details)
		},
		WriteStallBegin: func(info pebble.WriteStallBeginInfo) {
			d.log.Warn("writes wait for the store's background work", "reason", info.Reason)
		},
		WriteStallEnd: func() { d.log.Info("writes go on") },
	}
	l.EnsureDefaults(nil)
	return l
}
