// Package bulk sorts what a restore reads from a changelog, outside of memory,
// for stores that can take sorted tables as files: see store.BulkLoader. An
// adapter adds the writes in the order of the changelog, gets them back in key
// order, each key once with its last value, and makes its tables of them.
package bulk
