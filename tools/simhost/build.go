package simhost

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"
)

// An edit is one change of a file of the standard library, by its text: a
// toolchain in which the text is not found so many times is refused, not
// guessed at.
type edit struct {
	file     string
	old, new string
	times    int
}

// edits make the order of goroutines a matter of the seed alone.
//
// A goroutine that becomes runnable is put at a random place of the queue
// instead of its end. With one P and one thread nobody else reads the queue
// meanwhile. Goroutines of the runtime itself (the garbage collector's) go to
// the end and do not count, and the scheduler and select have a random source
// that nobody else draws from: when memory is collected or sampled does not
// change the order of the others.
//
// Timers of the same time, which a virtual clock has many of, go off in the order
// in which they were set, and not in one that depends on what else is in the
// heap: the collector has timers, too.
//
// Memory is collected when every goroutine waits, before the clock moves, and
// nothing of a program runs until that is done. Otherwise a collection would
// make goroutines wait that allocate, and change their order. (A program that
// uses 2 GiB without ever waiting is collected all the same.) Memory is not
// given back, which would need a timer.
//
// All maps of a run have the same seed, and iterations begin at the same place
// of each: a map that is made for a log line does not change the order of
// another one. The same number is what everything in the runtime and the
// compiler's code that asks for a random one gets; math/rand and names of
// temporary files draw from a source that nothing else draws from.
//
// Goroutines begin with a stack that most of them never outgrow: growing one
// costs more here than natively.
//
// Contexts are cancelled in the order in which they were made, and not in that
// of their addresses, which depend on what was collected before.
var edits = []edit{
	{"runtime/proc.go", "\t\tpp.runq[t%uint32(len(pp.runq))].set(gp)\n\t\tatomic.StoreRel(&pp.runqtail, t+1) // store-release, makes the item available for consumption\n\t\treturn\n",
		"\t\tat := t\n" +
			"\t\tif !simSystem(gp) {\n" +
			"\t\t\tusers := uint32(0)\n" +
			"\t\t\tfor i := h; i != t; i++ {\n" +
			"\t\t\t\tif !simSystem(pp.runq[i%uint32(len(pp.runq))].ptr()) {\n\t\t\t\t\tusers++\n\t\t\t\t}\n" +
			"\t\t\t}\n" +
			"\t\t\tk := simrandn(users + 1)\n" +
			"\t\t\tfor i := h; i != t; i++ {\n" +
			"\t\t\t\tif simSystem(pp.runq[i%uint32(len(pp.runq))].ptr()) {\n\t\t\t\t\tcontinue\n\t\t\t\t}\n" +
			"\t\t\t\tif k == 0 {\n\t\t\t\t\tat = i\n\t\t\t\t\tbreak\n\t\t\t\t}\n" +
			"\t\t\t\tk--\n" +
			"\t\t\t}\n" +
			"\t\t}\n" +
			"\t\tfor i := t; i != at; i-- {\n" +
			"\t\t\tpp.runq[i%uint32(len(pp.runq))] = pp.runq[(i-1)%uint32(len(pp.runq))]\n" +
			"\t\t}\n" +
			"\t\tpp.runq[at%uint32(len(pp.runq))].set(gp)\n" +
			"\t\tatomic.StoreRel(&pp.runqtail, t+1)\n\t\treturn\n", 1},
	{"runtime/proc.go", "// Put g and a batch of work from local runnable queue on global queue.\n",
		"var simState uint64\n\n" +
			"func simrandn(n uint32) uint32 {\n" +
			"\tfor simState == 0 {\n\t\tsimState = simDraw()\n\t}\n" +
			"\tsimState ^= simState << 13\n\tsimState ^= simState >> 7\n\tsimState ^= simState << 17\n" +
			"\treturn uint32(((simState >> 32) * uint64(n)) >> 32)\n" +
			"}\n\n" +
			"var simPC [1024]uintptr\nvar simIs [1024]bool\n\n" +
			"func simSystem(gp *g) bool {\n" +
			"\ti := (gp.startpc >> 16) % 1024\n" +
			"\tif simPC[i] != gp.startpc {\n\t\tsimPC[i], simIs[i] = gp.startpc, isSystemGoroutine(gp, false)\n\t}\n" +
			"\treturn simIs[i]\n" +
			"}\n\n" +
			"// Put g and a batch of work from local runnable queue on global queue.\n", 1},
	{"runtime/rand.go", "func rand() uint64 {\n",
		"func rand() uint64 {\n\tif simRand == 0 {\n\t\tsimRand = simDraw()\n\t}\n\treturn simRand\n}\n\n" +
			"var simRand uint64\n\n//go:nosplit\nfunc simDraw() uint64 {\n", 1},
	{"runtime/rand.go", "func legacy_fastrand64() uint64 {\n\treturn rand()\n", "func legacy_fastrand64() uint64 {\n\treturn simDraw()\n", 1},
	{"math/rand/rand.go", "//go:linkname runtime_rand runtime.rand\n", "//go:linkname runtime_rand runtime.fastrand64\n", 1},
	{"math/rand/v2/rand.go", "//go:linkname runtime_rand runtime.rand\n", "//go:linkname runtime_rand runtime.fastrand64\n", 1},
	{"os/tempfile.go", "//go:linkname runtime_rand runtime.rand\n", "//go:linkname runtime_rand runtime.fastrand64\n", 1},
	{"runtime/time.go", "\t\tif t.isFake {\n\t\t\t// Re-randomize timer order.\n", "\t\t{\n\t\t\t// Timers of the same time go off in the order in which they were set.\n", 1},
	{"runtime/time.go", "\t\t\tt.rand = cheaprand()\n", "\t\t\tsimTimers++\n\t\t\tt.rand = simTimers\n", 1},
	{"runtime/time.go", "func (tw timerWhen) less(", "var simTimers uint32\n\nfunc (tw timerWhen) less(", 1},
	{"runtime/proc.go", "\tif !inheritTime {\n\t\tmp.p.ptr().schedtick++\n", "\tif !inheritTime && !simSystem(gp) {\n\t\tmp.p.ptr().schedtick++\n", 1},
	{"runtime/proc.go", "\tgp, otherReady := beforeIdle(now, pollUntil)\n",
		"\tgp, otherReady := simCollect(now), false\n" +
			"\tif gp == nil {\n\t\tgp, otherReady = beforeIdle(now, pollUntil)\n\t}\n", 1},
	{"runtime/proc.go", "\t\tgcStart(gcTrigger{kind: gcTriggerTime, now: nanotime()})\n",
		"\t\tgcStart(gcTrigger{kind: gcTriggerHeap})\n\t\tsimIdle = false\n", 1},
	{"runtime/mgc.go", "\t\treturn gcController.heapLive.Load() >= trigger\n",
		"\t\tlive := gcController.heapLive.Load()\n\t\treturn live >= trigger && (simIdle || live >= simMost)\n", 1},
	{"runtime/mgc.go", "func (t gcTrigger) test() bool {\n",
		"var simIdle bool\nvar simLast int64\n\nconst simMost = 2 << 30\n\n" +
			"func simCollect(now int64) *g {\n" +
			"\tif now == 0 {\n\t\tnow = nanotime()\n\t}\n" +
			"\tif now == simLast || !forcegc.idle.Load() {\n\t\treturn nil\n\t}\n" +
			"\tsimIdle = true\n" +
			"\tif !(gcTrigger{kind: gcTriggerHeap}).test() {\n\t\tsimIdle = false\n\t\treturn nil\n\t}\n" +
			"\tsimLast = now\n\tforcegc.idle.Store(false)\n" +
			"\treturn forcegc.g\n}\n\n" +
			"func (t gcTrigger) test() bool {\n", 1},
	{"runtime/mgcsweep.go", "\tscavenger.wake()\n", "", 1},
	{"runtime/stack.go", "var startingStackSize uint32 = fixedStack\n", "const startingStackSize uint32 = 16 << 10\n", 1},
	{"runtime/stack.go", "\t\tstartingStackSize = fixedStack\n\t\treturn\n", "\t\treturn\n", 1},
	{"runtime/stack.go", "\tstartingStackSize = uint32(round2(int32(avg)))\n", "", 1},
	{"runtime/select.go", "j := cheaprandn(uint32(norder + 1))", "j := simrandn(uint32(norder + 1))", 1},
	{"context/context.go", "\tchildren map[canceler]struct{} //", "\tchildren []canceler //", 1},
	{"context/context.go", "\t\tdelete(p.children, child)\n",
		"\t\tfor i := len(p.children) - 1; i >= 0; i-- {\n" +
			"\t\t\tif p.children[i] == child {\n\t\t\t\tp.children = append(p.children[:i], p.children[i+1:]...)\n\t\t\t\tbreak\n\t\t\t}\n" +
			"\t\t}\n", 1},
	{"context/context.go", "\t\t\tif p.children == nil {\n\t\t\t\tp.children = make(map[canceler]struct{})\n\t\t\t}\n\t\t\tp.children[child] = struct{}{}\n",
		"\t\t\tp.children = append(p.children, child)\n", 1},
	{"context/context.go", "for child := range c.children {", "for _, child := range c.children {", 1},
}

// quicker are edits for speed: they change nothing that a program can see.
// There is one thread, nothing interrupts it, and a call costs more than what
// an atomic operation does: those are inlined. Locks of the runtime, which
// nobody else can hold, are counted only, and need no order. There is no thread
// to wake and nobody to steal from. WebAssembly loads from any address.
//
// A scheduler that looks once for the time of the next timer must not forget
// those that were moved to an earlier one.
var quicker = []edit{
	{"internal/runtime/atomic/atomic_wasm.go", "//go:noinline\n", "", 41},
	{"internal/runtime/atomic/atomic_wasm.go", "func Casp1(", "//go:noinline\nfunc Casp1(", 1}, // it has a write barrier
	{"runtime/lock_wasip1.go", "func lock2(l *mutex) {\n", "func lock2(*mutex) { getg().m.locks++ }\n\nfunc simLock2(l *mutex) {\n", 1},
	{"runtime/lock_wasip1.go", "func unlock2(l *mutex) {\n", "func unlock2(*mutex) { getg().m.locks-- }\n\nfunc simUnlock2(l *mutex) {\n", 1},
	{"runtime/select.go", "\tfor i := range lockorder {\n\t\tj := i\n", "\tcopy(lockorder, pollorder)\n\tfor i := range lockorder[:0] {\n\t\tj := i\n", 1},
	{"runtime/select.go", "\tfor i := len(lockorder) - 1; i >= 0; i-- {\n\t\to := lockorder[i]\n", "\tfor i := -1; i >= 0; i-- {\n\t\to := lockorder[i]\n", 1},
	{"runtime/proc.go", "func wakep() {\n", "func wakep() {}\n\nfunc simWakep() {\n", 1},
	{"runtime/proc.go", "\tif mp.spinning || 2*sched.nmspinning.Load() < gomaxprocs-sched.npidle.Load() {\n", "\tif false {\n", 1},
	{"runtime/proc.go", "\tnow, pollUntil, _ := pp.timers.check(0, nil)\n",
		"\tnow, pollUntil, _ := pp.timers.check(0, nil)\n" +
			"\tif pollUntil != 0 {\n\t\tpollUntil = pp.timers.wakeTime()\n\t}\n", 1},
	{"runtime/alg.go", "func readUnaligned32(p unsafe.Pointer) uint32 {\n", "func readUnaligned32(p unsafe.Pointer) uint32 { return *(*uint32)(p) }\n\nfunc simReadUnaligned32(p unsafe.Pointer) uint32 {\n", 1},
	{"runtime/alg.go", "func readUnaligned64(p unsafe.Pointer) uint64 {\n", "func readUnaligned64(p unsafe.Pointer) uint64 { return *(*uint64)(p) }\n\nfunc simReadUnaligned64(p unsafe.Pointer) uint64 {\n", 1},
	{"sync/atomic/doc.go", "func LoadPointer(addr *unsafe.Pointer) (val unsafe.Pointer)\n", "func LoadPointer(addr *unsafe.Pointer) (val unsafe.Pointer) { return *addr }\n", 1},
	{"sync/atomic/doc_64.go", "package atomic\n", "package atomic\n\nimport _ \"unsafe\"\n", 1}, // for go:linkname
}

// declared is a function of sync/atomic that assembly implements, by calling
// the one of internal/runtime/atomic.
var declared = regexp.MustCompile(`//go:noescape\nfunc (Swap|CompareAndSwap|Add|And|Or|Load|Store)(\w+)(\(.*)\n`)

// bodies are what those functions do. The pointers' are the runtime's.
var bodies = map[string]string{
	"Swap":           "old = *addr; *addr = new; return",
	"CompareAndSwap": "if *addr != old { return false }; *addr = new; return true",
	"Add":            "*addr += delta; return *addr",
	"And":            "old = *addr; *addr &= mask; return",
	"Or":             "old = *addr; *addr |= mask; return",
	"Load":           "return *addr",
	"Store":          "*addr = val",
}

// plain gives the functions of a file of sync/atomic bodies. The runtime uses
// some of them by name.
func plain(text string) string {
	return declared.ReplaceAllStringFunc(text, func(decl string) string {
		m := declared.FindStringSubmatch(decl)
		return fmt.Sprintf("//go:linkname %[1]s%[2]s\n//go:nosplit\nfunc %[1]s%[2]s%[3]s { %[4]s }\n", m[1], m[2], m[3], bodies[m[1]])
	})
}

// Overlay writes a build overlay into dir for the toolchain with which the
// module around pkgDir is built, and returns its file, for the go command's
// -overlay flag. Only copies of files of the standard library are changed, for
// this build alone. more are further files to replace.
func Overlay(ctx context.Context, dir, pkgDir string, more map[string]string) (string, error) {
	cmd := exec.CommandContext(ctx, "go", "env", "GOROOT")
	cmd.Dir = pkgDir
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("go env GOROOT: %w", err)
	}
	src := filepath.Join(strings.TrimSpace(string(out)), "src")
	path := func(file string) string { return filepath.Join(src, filepath.FromSlash(file)) }
	texts := make(map[string]string)
	for _, e := range slices.Concat(edits, quicker) {
		if texts[e.file] == "" {
			b, err := os.ReadFile(path(e.file))
			if err != nil {
				return "", err
			}
			texts[e.file] = string(b)
		}
		if strings.Count(texts[e.file], e.old) != e.times {
			return "", fmt.Errorf("%s is not as expected, so the scheduler cannot be seeded: this Go version is not supported by the simulator yet", path(e.file))
		}
		texts[e.file] = strings.ReplaceAll(texts[e.file], e.old, e.new)
	}
	texts["sync/atomic/doc.go"] = plain(texts["sync/atomic/doc.go"])
	texts["sync/atomic/doc_64.go"] = plain(texts["sync/atomic/doc_64.go"])
	texts["sync/atomic/asm.s"] = "// See doc.go.\n"
	replace := make(map[string]string)
	maps.Copy(replace, more)
	for file, text := range texts {
		changed := filepath.Join(dir, flat(file))
		if err := os.WriteFile(changed, []byte(text), 0o644); err != nil {
			return "", err
		}
		replace[path(file)] = changed
	}
	overlay, err := json.Marshal(map[string]map[string]string{"Replace": replace})
	if err != nil {
		return "", err
	}
	file := filepath.Join(dir, "overlay.json")
	return file, os.WriteFile(file, overlay, 0o644)
}

// flat makes one name of a path: two files of the standard library may have
// the same name.
func flat(file string) string { return strings.ReplaceAll(file, "/", "_") }

// ErrBuild marks a program that does not compile for the simulator.
var ErrBuild = errors.New("does not compile for the simulator")

// BuildTest compiles the tests of one package for the simulator, with the
// module of dir as it is, and replacements of files on top of it. The program
// does not know where dir is, so that it runs the same way from any.
func BuildTest(ctx context.Context, dir, pkg, output string, more map[string]string, stderr io.Writer) error {
	overlay, err := Overlay(ctx, filepath.Dir(output), dir, more)
	if err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, "go", "test", "-c", "-trimpath", "-tags", "weirsim", "-overlay", overlay, "-o", output, pkg)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "GOOS=wasip1", "GOARCH=wasm", "CGO_ENABLED=0")
	cmd.Stdout, cmd.Stderr = stderr, stderr
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("%w: the tests in %s: %w", ErrBuild, dir, err)
	}
	return nil
}

// keepModules is how many compiled modules the cache keeps; one is about
// 100 MB.
const keepModules = 8

// prune removes the oldest files of the compilation cache.
func prune(dir string) error {
	type file struct {
		path string
		at   time.Time
	}
	var files []file
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil || d.IsDir() {
			return err
		}
		if info, err := d.Info(); err == nil {
			files = append(files, file{path, info.ModTime()})
		}
		return nil
	})
	if err != nil {
		return err
	}
	slices.SortFunc(files, func(a, b file) int { return b.at.Compare(a.at) })
	for _, f := range files[min(len(files), keepModules):] {
		if err := os.Remove(f.path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}
