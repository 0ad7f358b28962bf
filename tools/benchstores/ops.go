package main

import (
	"context"
	"encoding/binary"
	"fmt"
	"time"

	"github.com/weirstream/weir/core/store"
)

// measure runs one measurement in this process.
func measure(ctx context.Context, o options) (figures, error) {
	switch o.child {
	case "ops":
		return measureOps(o)
	case "memory":
		return measureMemory(ctx, o)
	case "plain":
		return measurePlain(ctx, o)
	case "restore":
		return measureRestore(ctx, o)
	}
	return figures{}, fmt.Errorf("measurement %q is not known", o.child)
}

const (
	opKeys    = 100_000
	opBatch   = 1000
	opValue   = 100
	manyBatch = 256
)

// opKey makes keys whose order is not that of i.
func opKey(dst []byte, i int) []byte {
	dst = binary.BigEndian.AppendUint64(dst[:0], uint64(i)*0x9e3779b97f4a7c15)
	return binary.BigEndian.AppendUint64(dst, uint64(i))
}

// measureOps writes keys by commits of a thousand, then some of them one by
// one, and reads them.
func measureOps(o options) (f figures, err error) {
	s, done, err := openStore(o)
	if err != nil {
		return f, err
	}
	defer done()
	sp := store.Space{Table: "ops"}
	r, _, err := s.Open(sp, 1)
	if err != nil {
		return f, err
	}
	if f.Commit, err = measureWrites(s, sp, opKeys, opBatch); err != nil {
		return f, err
	}
	reads := opKeys
	if o.store == "aerospike" {
		reads /= 10 // a round trip each
	}
	if f.Put, err = measureWrites(s, sp, reads/10, 1); err != nil {
		return f, err
	}
	var key []byte
	value := make([]byte, opValue)
	start := time.Now()
	for i := range reads {
		key = opKey(key, i*7919%opKeys)
		v, found, err := r.Get(key, value[:0])
		if err != nil || !found || len(v) != opValue {
			return f, fmt.Errorf("key %d: found %v, %w", i, found, err)
		}
	}
	f.Get = time.Since(start) / time.Duration(reads)
	if m, ok := r.(store.MultiReader); ok {
		f.Many, err = measureMany(m)
	}
	return f, err
}

// measureWrites writes keys by batches, each with its position, and returns
// what one batch takes.
func measureWrites(s store.Store, sp store.Space, keys, batch int) (time.Duration, error) {
	var b store.Batch
	var key []byte
	value := make([]byte, opValue)
	start := time.Now()
	for from := 0; from < keys; from += batch {
		b.Reset()
		p := b.Part(sp, 1)
		for i := from; i < from+batch; i++ {
			key = opKey(key, i)
			binary.BigEndian.PutUint64(value, uint64(i))
			p.Put(key, value)
		}
		p.Position = store.Position{Changelog: int64(from + batch), Exists: true}
		if err := s.Apply(&b); err != nil {
			return 0, err
		}
	}
	return time.Since(start) / time.Duration(keys/batch), nil
}

func measureMany(r store.MultiReader) (time.Duration, error) {
	keys := make([][]byte, manyBatch)
	start, found := time.Now(), 0
	for from := 0; from+manyBatch <= opKeys; from += manyBatch {
		for i := range keys {
			keys[i] = opKey(keys[i], (from+i)*7919%opKeys)
		}
		err := r.GetMulti(keys, func(_ int, _ []byte, ok bool) {
			if ok {
				found++
			}
		})
		if err != nil {
			return 0, err
		}
	}
	if want := opKeys / manyBatch * manyBatch; found != want {
		return 0, fmt.Errorf("GetMulti found %d keys, want %d", found, want)
	}
	return time.Since(start) / time.Duration(found), nil
}
