package record

import (
	"cmp"
	"fmt"
)

// A Header is one Kafka record header.
type Header struct {
	Key   string
	Value []byte
}

// A Record is one record of a topic. Key and Value are nil when Kafka's are
// null, which is not the same as empty: a nil value is a tombstone.
type Record struct {
	Topic     string
	Partition int32
	Offset    int64
	// Time is the record's event time in Unix milliseconds, the resolution
	// of Kafka's own timestamps.
	Time    int64
	Key     []byte
	Value   []byte
	Headers []Header
}

// A TopicPartition names one partition of one topic.
type TopicPartition struct {
	Topic     string
	Partition int32
}

func (tp TopicPartition) String() string { return fmt.Sprintf("%s/%d", tp.Topic, tp.Partition) }

// Compare orders topic partitions by topic, then partition.
func (tp TopicPartition) Compare(other TopicPartition) int {
	if c := cmp.Compare(tp.Topic, other.Topic); c != 0 {
		return c
	}
	return cmp.Compare(tp.Partition, other.Partition)
}

// TP returns the record's topic partition.
func (r *Record) TP() TopicPartition { return TopicPartition{r.Topic, r.Partition} }

// NoTime marks an event time that is not known: that of a record without a
// timestamp, and the stream time of a task that has seen nothing.
const NoTime int64 = -1
