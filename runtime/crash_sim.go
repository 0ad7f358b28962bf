//go:build weirsim

package runtime

// CrashHook, when set by the simulator, is called at every marked point.
var CrashHook func(point string)

// Crash marks a point at which the simulator may end a worker.
func Crash(point string) {
	if CrashHook != nil {
		CrashHook(point)
	}
}
