// Package changelog decides how the state of a task is brought up to date
// from a changelog topic.
//
// A changelog record is simply the storage key and the value of one entry,
// null for a deletion, so every Kafka client can read one. A driver asks
// NewPlan where to begin and whether what the store holds can be kept, feeds
// what it reads to a Restore, and is told when the space is complete.
package changelog
