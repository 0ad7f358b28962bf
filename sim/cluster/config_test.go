package cluster

import (
	"strings"
	"testing"
	"time"

	"github.com/weirstream/weir"
	"github.com/weirstream/weir/sim/fault"
)

func TestMistakesAreReportedAtOnce(t *testing.T) {
	t.Parallel()
	err := Config{Workers: -1, Duration: time.Millisecond, Faults: []fault.Kind{"F99-gremlins"}, Plan: fault.Plan{{Kind: "F0-none"}}}.validate()
	if err == nil {
		t.Fatal("accepted")
	}
	for _, want := range []string{"App is required", "negative", "a second at least", `"F99-gremlins"`, `"F0-none"`} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q is not in:\n%v", want, err)
		}
	}
	ok := Config{App: func() *weir.App { return weir.NewApp("a") }}
	if err := ok.validate(); err != nil {
		t.Errorf("the smallest configuration: %v", err)
	}
	if err := ok.withDefaults().validate(); err != nil {
		t.Errorf("with defaults: %v", err)
	}
}

func TestRecord(t *testing.T) {
	t.Parallel()
	app := weir.NewApp("a")
	topic := weir.NewTopic[string, int64](app, "in")
	at := time.UnixMilli(1767225600123)
	in := Record(topic, "k", 5, at)
	v, err := topic.DecodeValue(in.Value)
	if in.Topic != "in" || string(in.Key) != "k" || in.Time != at.UnixMilli() || err != nil || v != 5 {
		t.Errorf("%+v, value %d, %v", in, v, err)
	}
}
