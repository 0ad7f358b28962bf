package kafka

import (
	"context"
	"errors"
	"net/netip"
	"testing"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/weirstream/weir/core/record"
	"github.com/weirstream/weir/runtime"
)

// hide makes some brokers, from 0 on, not know a topic yet.
func (w *world) hide(topic string, brokers int32) {
	unknown := kerr.UnknownTopicOrPartition.Code
	w.cluster.ControlKey(int16(kmsg.Metadata), func(kreq kmsg.Request) (kmsg.Response, error, bool) {
		w.cluster.KeepControl()
		req := kreq.(*kmsg.MetadataRequest)
		if w.cluster.CurrentNode() >= brokers || len(req.Topics) != 1 || *req.Topics[0].Topic != topic {
			return nil, nil, false
		}
		resp := req.ResponseKind().(*kmsg.MetadataResponse)
		for i, addr := range w.cluster.ListenAddrs() {
			b := kmsg.NewMetadataResponseBroker()
			at := netip.MustParseAddrPort(addr)
			b.NodeID, b.Host, b.Port = int32(i), at.Addr().String(), int32(at.Port())
			resp.Brokers = append(resp.Brokers, b)
		}
		rt := kmsg.NewMetadataResponseTopic()
		rt.Topic, rt.ErrorCode = req.Topics[0].Topic, unknown
		resp.Topics = append(resp.Topics, rt)
		return resp, nil, true
	})
	w.cluster.ControlKey(int16(kmsg.DescribeConfigs), func(kreq kmsg.Request) (kmsg.Response, error, bool) {
		w.cluster.KeepControl()
		req := kreq.(*kmsg.DescribeConfigsRequest)
		if w.cluster.CurrentNode() >= brokers || len(req.Resources) != 1 || req.Resources[0].ResourceName != topic {
			return nil, nil, false
		}
		resp := req.ResponseKind().(*kmsg.DescribeConfigsResponse)
		r := kmsg.NewDescribeConfigsResponseResource()
		r.ResourceType, r.ResourceName, r.ErrorCode = kmsg.ConfigResourceTypeTopic, topic, unknown
		resp.Resources = append(resp.Resources, r)
		return resp, nil, true
	})
}

// TestTopicThatSomeBrokersDoNotKnow: a topic that was created a moment ago is
// there, whichever broker is asked first.
func TestTopicThatSomeBrokersDoNotKnow(t *testing.T) {
	t.Parallel()
	w := newWorld(t, map[string]int32{"new": 2}, kfake.NumBrokers(3))
	w.put(w.raw(), tp("new", 1), "x")
	w.hide("new", 2)
	for range 20 { // any broker is asked first
		got, err := w.Topics(w.ctx, "new")
		if err != nil || got["new"].Partitions != 2 || got["new"].Config["cleanup.policy"] != "delete" {
			t.Fatalf("described as %+v, %v", got, err)
		}
	}
	for range 5 {
		at := tp("new", 1)
		got, err := w.Offsets(w.ctx, []record.TopicPartition{at})
		if err != nil || got[at].End != 1 || got[at].Topic == [16]byte{} {
			t.Fatalf("offsets %+v, %v", got, err)
		}
	}
	created, err := w.CreateTopics(w.ctx, map[string]runtime.TopicSpec{"new": {Partitions: 2, Replicas: 1}})
	if err != nil || len(created) != 0 {
		t.Errorf("created twice: %v, %v", created, err)
	}
}

// TestTopicThatNoBrokerKnows: the answer does not wait for brokers that are away.
func TestTopicThatNoBrokerKnows(t *testing.T) {
	t.Parallel()
	w := newWorld(t, map[string]int32{"new": 1}, kfake.NumBrokers(3))
	w.hide("new", 3)
	ctx, cancel := context.WithTimeout(w.ctx, 2*askWait)
	defer cancel()
	if got, err := w.Topics(ctx, "new"); err != nil || len(got) != 0 {
		t.Fatalf("described as %+v, %v", got, err)
	}
	if got, err := w.Offsets(ctx, []record.TopicPartition{tp("new", 0)}); !errors.Is(err, kerr.UnknownTopicOrPartition) {
		t.Fatalf("offsets %+v, %v", got, err)
	}
}
