// Package memory is a store that lives in the process: for tests, for the
// simulator, and for tables small enough to be restored at every start.
//
// It is the reference: every other store must behave like it. What it holds
// survives Release and is gone with the Store value; after a restart the
// changelog supplies everything.
package memory
