package main

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"syscall"
	"time"
)

// figures are what one measurement found; those that are zero were not
// measured.
type figures struct {
	Records int           `json:"records,omitempty"`
	Bytes   int64         `json:"bytes,omitempty"`
	Wall    time.Duration `json:"wall,omitempty"`
	CPU     time.Duration `json:"cpu,omitempty"`
	Get     time.Duration `json:"get,omitempty"`
	Many    time.Duration `json:"many,omitempty"`
	Put     time.Duration `json:"put,omitempty"`
	Commit  time.Duration `json:"commit,omitempty"`
	RSS     int64         `json:"rss,omitempty"`
	Bound   int64         `json:"bound,omitempty"`
}

func (f figures) rate() float64 {
	if f.Wall == 0 {
		return 0
	}
	return float64(f.Records) / f.Wall.Seconds()
}

// A row is one line of the table.
type row struct {
	store                       string
	suite                       suite
	ops, memory, plain, restore figures
}

// columns are the names of what a row has.
func columns() []string {
	return []string{
		"store", "checks run", "not declared", "crash points", "get µs", "get many µs", "put µs", "commit ms",
		"restore records/s", "MB/s", "CPU µs/record", "plain records/s", "CPU µs/record", "times as fast", "RSS MiB", "bound MiB",
	}
}

// table writes rows as Markdown.
func table(rows []row) string {
	var b strings.Builder
	line := func(cells []string) { fmt.Fprintf(&b, "| %s |\n", strings.Join(cells, " | ")) }
	line(columns())
	line(slices.Repeat([]string{"---"}, len(columns())))
	for _, r := range rows {
		line(r.cells())
	}
	return b.String()
}

// times is how many times as fast as the plain loop a restore was, in records
// a second; 0 where there is no such loop, or nothing was measured.
func (r row) times() float64 {
	if r.plain.rate() == 0 {
		return 0
	}
	return r.restore.rate() / r.plain.rate()
}

// cells are the figures of a row, in the order of columns.
func (r row) cells() []string {
	cells := []string{r.store}
	ran := r.suite.run != 0
	cells = append(cells, orDash(ran, "%d", r.suite.run), orDash(len(r.suite.missing) > 0, "%s", strings.Join(r.suite.missing, ", ")), orDash(ran, "%d", r.suite.crashes))
	micros := func(d time.Duration) string { return orDash(d != 0, "%.1f", float64(d)/1e3) }
	cells = append(cells, micros(r.ops.Get), micros(r.ops.Many), micros(r.ops.Put), orDash(r.ops.Commit != 0, "%.1f", r.ops.Commit.Seconds()*1e3))
	for i, f := range []figures{r.restore, r.plain} {
		has := f.Records > 0
		cells = append(cells, orDash(has, "%.0f", f.rate()))
		if i == 0 {
			cells = append(cells, orDash(has, "%.0f", float64(f.Bytes)/1e6/max(f.Wall.Seconds(), 1e-9)))
		}
		cells = append(cells, orDash(has, "%.2f", float64(f.CPU)/1e3/float64(max(f.Records, 1))))
	}
	return append(cells, orDash(r.times() != 0, "%.1f", r.times()), orDash(r.memory.RSS != 0, "%d", r.memory.RSS>>20), orDash(r.memory.RSS != 0, "%d", r.memory.Bound>>20))
}

func orDash(has bool, format string, v any) string {
	if !has {
		return "–"
	}
	return fmt.Sprintf(format, v)
}

// A meter measures from its making.
type meter struct {
	wall time.Time
	cpu  time.Duration
}

func newMeter() meter { return meter{time.Now(), cpuTime()} }

func (m meter) read(records int, bytes int64) figures {
	return figures{Records: records, Bytes: bytes, Wall: time.Since(m.wall), CPU: cpuTime() - m.cpu}
}

func cpuTime() time.Duration {
	var u syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// maxRSS is the peak of resident memory in bytes.
func maxRSS() (int64, error) {
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(status)) {
		var kib int64
		if n, _ := fmt.Sscanf(line, "VmHWM: %d kB", &kib); n == 1 {
			return kib << 10, nil
		}
	}
	return 0, fmt.Errorf("/proc/self/status has no VmHWM")
}
