package memory_test

import (
	"fmt"

	"github.com/weirstream/weir/core/record"
	"github.com/weirstream/weir/runtime"
	"github.com/weirstream/weir/transports/memory"
)

// A transaction is invisible until it ends, and its marker takes an offset.
func ExampleBroker() {
	b := memory.NewBroker()
	if err := b.CreateTopic("orders", runtime.TopicSpec{Partitions: 1, Replicas: 1}); err != nil {
		panic(err)
	}
	orders := record.TopicPartition{Topic: "orders"}
	p := b.InitProducer("worker-1")
	if _, err := b.AppendTxn(p, orders, []record.Record{{Key: []byte("k"), Value: []byte("v")}}); err != nil {
		panic(err)
	}
	show := func() {
		f, err := b.Fetch(orders, 0, 0)
		fmt.Println(len(f.Records), "records, next", f.Next, err)
	}
	show()
	if err := b.EndTxn(p, true); err != nil {
		panic(err)
	}
	show()
	// Output:
	// 0 records, next 0 <nil>
	// 1 records, next 2 <nil>
}
