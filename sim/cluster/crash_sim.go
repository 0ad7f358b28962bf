//go:build weirsim

package cluster

import "github.com/weirstream/weir/runtime"

// hookCrashes makes the crash points of the worker known to the world.
func (w *world) hookCrashes() {
	runtime.CrashHook = func(c *runtime.Config, point string) {
		for _, n := range w.nodes {
			if p := n.current(); p != nil && p.store == c.Store {
				w.reached(p, point)
				return
			}
		}
		// A life that is over: its goroutines go no further.
		select {}
	}
}
