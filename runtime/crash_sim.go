//go:build weirsim

package runtime

// CrashHook, when set by the simulator, is called at every marked point with
// the configuration of the worker that reached it. To end the worker there it
// does not return.
var CrashHook func(c *Config, point string)

// Crash marks a point at which the simulator may end a worker.
func Crash(c *Config, point string) {
	if CrashHook != nil {
		CrashHook(c, point)
	}
}

// bulkRecords is how many records there must be for a space to be filled in
// bulk: simulated logs are short.
const bulkRecords = 20
