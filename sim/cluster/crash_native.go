//go:build !weirsim

package cluster

// hookCrashes does nothing: crash points exist under the build tag weirsim
// only, which `weir sim run` sets.
func (w *world) hookCrashes() {}
