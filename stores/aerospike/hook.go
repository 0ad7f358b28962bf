package aerospike

import (
	as "github.com/aerospike/aerospike-client-go/v7"
	"github.com/aerospike/aerospike-client-go/v7/types"
)

// hooks are where tests stop the store, and where they plant mistakes to see
// whether they are caught. All are unset outside of tests.
type hooks struct {
	// attempt stands between the store and the client.
	attempt func(records []as.BatchRecordIfc, next func([]as.BatchRecordIfc) error) error
	// judge replaces judge.
	judge func(types.ResultCode) outcome
	// plan changes a part of a batch before it is written.
	plan func(pl *plan)
	// apart commits the spaces of a batch one by one.
	apart bool
	// undecided takes the position of a batch that does not count.
	undecided bool
	// trust opens spaces without checking what the server holds.
	trust bool
	// ignoreScans uses slots again that a scan may still read.
	ignoreScans bool
}
