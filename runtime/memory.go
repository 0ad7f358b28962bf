package runtime

import (
	"os"
	"runtime/debug"
)

// MemoryOverhead is how much more than its memory setting a worker may take,
// in bytes: the program itself, the client's connections, goroutines, and what
// the collector has not freed yet.
const MemoryOverhead = 192 << 20

// goOverhead is the part of it that is in the Go heap. The rest is for what
// the Go runtime does not see: code, C heaps and their fragments.
const goOverhead = 96 << 20

// LimitMemory has the Go runtime collect in time for the process to stay
// within memory plus MemoryOverhead, of which stores hold storeBytes outside
// of the heap. GOMEMLIMIT in the environment wins. It is for the whole process,
// so that a program which runs more than a worker should not call it.
func LimitMemory(memory, storeBytes int) {
	if os.Getenv("GOMEMLIMIT") == "" {
		debug.SetMemoryLimit(int64(memory-storeBytes) + goOverhead)
	}
}
