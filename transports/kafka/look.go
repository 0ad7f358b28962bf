package kafka

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// askWait bounds how long the other brokers are waited for.
const askWait = 3 * time.Second

// look asks a broker, not a cache, about topics; no names are all. Brokers hear
// of a new topic one after the other, so the others are asked about what the
// first does not know. Topics that none of them knows are absent.
func (t *Transport) look(ctx context.Context, names []string) (map[string]kmsg.MetadataResponseTopic, error) {
	resp, err := metadataRequest(names).RequestWith(ctx, t.admin)
	if err != nil {
		return nil, err
	}
	known := make(map[string]kmsg.MetadataResponseTopic, len(resp.Topics))
	addKnown(known, resp)
	unknown := except(names, known)
	if len(unknown) == 0 {
		return known, nil
	}
	for _, other := range t.askAll(ctx, func() kmsg.Request { return metadataRequest(unknown) }) {
		addKnown(known, other.(*kmsg.MetadataResponse))
	}
	return known, nil
}

func metadataRequest(names []string) *kmsg.MetadataRequest {
	req := kmsg.NewPtrMetadataRequest()
	for _, name := range names {
		topic := kmsg.NewMetadataRequestTopic()
		topic.Topic = kmsg.StringPtr(name)
		req.Topics = append(req.Topics, topic)
	}
	return req
}

// addKnown adds the topics that a broker knows and that are not there yet.
func addKnown(known map[string]kmsg.MetadataResponseTopic, resp *kmsg.MetadataResponse) {
	for _, topic := range resp.Topics {
		if topic.Topic == nil || errors.Is(kerr.ErrorForCode(topic.ErrorCode), kerr.UnknownTopicOrPartition) {
			continue
		}
		if _, there := known[*topic.Topic]; !there {
			known[*topic.Topic] = topic
		}
	}
}

// except returns the names that are not in a map.
func except[V any](names []string, known map[string]V) []string {
	var left []string
	for _, name := range names {
		if _, ok := known[name]; !ok {
			left = append(left, name)
		}
	}
	return left
}

// askAll asks each broker once, and returns the answers of those that answer in
// time, in the order of the brokers. An only broker is not asked: it has answered
// already.
func (t *Transport) askAll(ctx context.Context, req func() kmsg.Request) []kmsg.Response {
	brokers := t.admin.DiscoveredBrokers()
	if len(brokers) < 2 {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, askWait)
	defer cancel()
	all := make([]kmsg.Response, len(brokers))
	var asked sync.WaitGroup
	for i, b := range brokers {
		asked.Go(func() {
			if resp, err := b.Request(ctx, req()); err == nil {
				all[i] = resp
			}
		})
	}
	asked.Wait()
	var answers []kmsg.Response
	for _, resp := range all {
		if resp != nil {
			answers = append(answers, resp)
		}
	}
	return answers
}
