package main

import (
	pebbledb "github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/bloom"
)

// A plainPebble is Pebble as a program without weir has it: its write-ahead
// log on, no fsync for each record, and the same memory.
type plainPebble struct{ db *pebbledb.DB }

func openPlainPebble(dir string, memory int64) (putter, error) {
	o := &pebbledb.Options{CacheSize: memory, MemTableSize: uint64(memory / 4), Logger: quiet{}}
	for i := range o.Levels {
		o.Levels[i].FilterPolicy = bloom.FilterPolicy(10)
	}
	db, err := pebbledb.Open(dir, o)
	return plainPebble{db}, err
}

func (p plainPebble) Put(key, value []byte) error { return p.db.Set(key, value, pebbledb.NoSync) }
func (p plainPebble) Close() error                { return p.db.Close() }

type quiet struct{}

func (quiet) Infof(string, ...any)              {}
func (quiet) Errorf(string, ...any)             {}
func (quiet) Fatalf(format string, args ...any) { panic(format) }
