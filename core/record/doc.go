// Package record holds the vocabulary of the core: records as Kafka has them,
// topic partitions, and the partitioner that every driver agrees on.
//
// Everything here is plain data. Byte slices of a Record are owned by whoever
// made the record; the core never writes to them and never keeps one past the
// commit of the epoch in which it arrived.
package record
