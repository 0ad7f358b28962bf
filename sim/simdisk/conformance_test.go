package simdisk

import (
	"sync"
	"testing"

	"github.com/weirstream/weir/conformance"
	"github.com/weirstream/weir/core/store"
)

func TestConformance(t *testing.T) {
	conformance.Store(t, conformance.StoreFactory{
		Name: "simdisk",
		New:  func(conformance.TB) conformance.StorePlace { return place(New(1)) },
		Can: []conformance.Capability{
			conformance.Reopens, conformance.LocksOut, conformance.SurvivesPowerLoss,
			conformance.ReportsFailingDisk, conformance.DetectsDamage,
		},
	})
}

// place is a disk as the suite sees it.
func place(d *Disk) conformance.StorePlace {
	var calls sync.Mutex
	return conformance.StorePlace{
		Open: func() (store.Store, error) {
			s, err := Open(d)
			if err != nil {
				return nil, err
			}
			return s, nil
		},
		OnWrite: func(before func()) {
			if before == nil {
				d.onWrite(nil)
				return
			}
			d.onWrite(func() {
				calls.Lock()
				defer calls.Unlock()
				before()
			})
		},
		Crash: func(seed uint64) conformance.StorePlace {
			after := d.clone(seed)
			after.PowerLoss()
			return place(after)
		},
		Fail: d.Fail,
		Damage: func() error {
			// The first record, so that it is not the end that was torn.
			d.mu.Lock()
			defer d.mu.Unlock()
			if c := d.files[logName]; c != nil && len(c.data) > headerSize {
				c.data[headerSize] ^= 1
			}
			return nil
		},
	}
}
