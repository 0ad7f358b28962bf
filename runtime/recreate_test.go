package runtime_test

import (
	"testing"

	"github.com/weirstream/weir/runtime"
	"github.com/weirstream/weir/stores/memory"
)

// A machine is away while the application is reset and runs anew on another
// one, until its changelogs are longer than they were. What the first machine
// still has on disk is of topics that are gone, although every offset fits.
func TestStateOfAResetApplication(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	old := memory.New()
	c.send(37)
	m := c.start("a", old, runtime.ExactlyOnce)
	c.settle()
	c.leave(m)

	c.reset("counted", "words-app-sums-changelog", "words-app-remainders-changelog", "words-app-by-remainder-repartition")
	for key := range int64(10) {
		c.write(37 + key)
	}
	m = c.start("b", memory.New(), runtime.ExactlyOnce)
	c.settle()
	for round := range int64(8) {
		for key := int64(10); key < 37; key++ {
			c.write(37*round + key) // the first ten keys are not written again
		}
		c.settle()
	}
	c.leave(m)

	m = c.start("a", old, runtime.ExactlyOnce)
	for key := range int64(10) {
		c.write(74 + key)
	}
	c.settle()
	c.leave(m)
	c.verify(true)
}

// reset deletes what an application made, and creates its output topic anew.
func (c *cluster) reset(output string, internal ...string) {
	c.t.Helper()
	if _, err := c.admin.DeleteTopics(c.t.Context(), append(internal, output)...); err != nil {
		c.t.Fatal(err)
	}
	if _, err := c.admin.DeleteGroup(c.t.Context(), "words-app"); err != nil {
		c.t.Fatal(err)
	}
	if r, err := c.admin.CreateTopic(c.t.Context(), partitions, 1, nil, output); err != nil || r.Err != nil {
		c.t.Fatal(err, r.Err)
	}
}
