package weir

import (
	"iter"
	"time"

	"github.com/weirstream/weir/core/record"
	"github.com/weirstream/weir/core/topology"
)

// inactive is the core's context of an engine between calls.
type inactive struct{}

var _ topology.Context = inactive{}

func (inactive) Deadline() (time.Time, bool) { return time.Time{}, false }
func (inactive) Done() <-chan struct{}       { return nil }
func (inactive) Err() error                  { return topology.ErrInactive }
func (inactive) Value(any) any               { return nil }
func (inactive) Record() *record.Record      { return nil }
func (inactive) Task() string                { return "" }
func (inactive) Partition() int32            { return -1 }
func (inactive) Now() int64                  { return record.NoTime }
func (inactive) StreamTime() int64           { return record.NoTime }
func (inactive) Rand() uint64                { panic(topology.ErrInactive) }
func (inactive) Agent() string               { return "" }

func (inactive) Get(_ *topology.Table, _, dst []byte) ([]byte, bool, error) {
	return dst, false, topology.ErrInactive
}
func (inactive) Put(*topology.Table, []byte, []byte) error { return topology.ErrInactive }
func (inactive) Delete(*topology.Table, []byte) error      { return topology.ErrInactive }
func (inactive) Scan(*topology.Table, []byte, []byte) iter.Seq2[topology.Entry, error] {
	return func(yield func(topology.Entry, error) bool) {
		yield(topology.Entry{}, topology.ErrInactive)
	}
}
func (inactive) Window(*topology.Table, int64) (int64, bool, error) {
	return 0, false, topology.ErrInactive
}
func (inactive) Send(string, topology.Output) error            { return topology.ErrInactive }
func (inactive) SetTimer(*topology.Timer, []byte, int64) error { return topology.ErrInactive }
func (inactive) CancelTimer(*topology.Timer, []byte) error     { return topology.ErrInactive }
