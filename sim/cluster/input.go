package cluster

import (
	"fmt"
	"time"

	"github.com/weirstream/weir"
)

// An Input is one record of the workload.
type Input struct {
	Topic      string
	Key, Value []byte
	// Time is its event time in Unix milliseconds.
	Time int64
}

// Record is the input for a topic of an application, encoded with the topic's
// codecs. A key or value that cannot be encoded is a mistake of the test, and
// panics.
func Record[K, V any](t *weir.Topic[K, V], key K, value V, at time.Time) Input {
	k, err := t.EncodeKey(key)
	if err != nil {
		panic(fmt.Sprintf("cluster: key %v for topic %s: %v", key, t.Name(), err))
	}
	v, err := t.EncodeValue(value)
	if err != nil {
		panic(fmt.Sprintf("cluster: value %v for topic %s: %v", value, t.Name(), err))
	}
	return Input{Topic: t.Name(), Key: k, Value: v, Time: at.UnixMilli()}
}
