package pebble

import (
	"errors"
	"fmt"
	"log/slog"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// Config says how to open a store.
type Config struct {
	// Dir is the directory of the store, made when missing. It belongs to
	// one process at a time. Required.
	Dir string

	// FS is the file system that holds Dir; tests inject faults here.
	// Default: the operating system's.
	FS vfs.FS

	// MemoryBytes bounds what Pebble holds outside the Go heap: memtables,
	// and the cache of uncompressed blocks, which gets what memtables leave.
	// Default (0): 128 MiB.
	MemoryBytes int64

	// MemTableBytes is how much is collected in memory before it is written
	// as a sorted table; up to two such are held. A batch larger than half
	// of it skips the memtable. Default (0): a quarter of MemoryBytes, at
	// most 64 MiB. At least 64 KiB.
	MemTableBytes int64

	// MaxOpenFiles limits the files kept open. Default (0): 1000.
	MaxOpenFiles int

	// Compactions is how many compactions may run at once. Default (0): 2.
	Compactions int

	// Logger receives what happens in the background: warnings and errors,
	// and at debug level what Pebble says. Default (nil): nothing is logged.
	Logger *slog.Logger
}

const (
	defaultMemoryBytes  = 128 << 20
	usualMemTableBytes  = 64 << 20
	minMemTableBytes    = 64 << 10
	maxMemTableBytes    = 2 << 30 // Pebble's arenas are addressed with 32 bits.
	defaultMaxOpenFiles = 1000
	defaultCompactions  = 2
)

// withDefaults returns the config with defaults filled in, or all its
// mistakes at once.
func (c Config) withDefaults() (Config, error) {
	var mistakes []error
	wrong := func(format string, args ...any) {
		mistakes = append(mistakes, fmt.Errorf("pebble.Config: "+format, args...))
	}
	if c.Dir == "" {
		wrong("Dir is empty: name a directory for the store")
	}
	if c.MemoryBytes < 0 {
		wrong("MemoryBytes is %d: use 0 for the default or a positive number", c.MemoryBytes)
	}
	if c.MemTableBytes != 0 && (c.MemTableBytes < minMemTableBytes || c.MemTableBytes > maxMemTableBytes) {
		wrong("MemTableBytes is %d: use 0 for the default or %d to %d", c.MemTableBytes, minMemTableBytes, int64(maxMemTableBytes))
	}
	if c.MaxOpenFiles < 0 {
		wrong("MaxOpenFiles is %d: use 0 for the default or a positive number", c.MaxOpenFiles)
	}
	if c.Compactions < 0 {
		wrong("Compactions is %d: use 0 for the default or a positive number", c.Compactions)
	}
	if c.FS == nil {
		c.FS = vfs.Default
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	orDefault(&c.MemoryBytes, defaultMemoryBytes)
	orDefault(&c.MemTableBytes, min(max(c.MemoryBytes/4, minMemTableBytes), usualMemTableBytes))
	orDefault(&c.MaxOpenFiles, defaultMaxOpenFiles)
	orDefault(&c.Compactions, defaultCompactions)
	return c, errors.Join(mistakes...)
}

func orDefault[N int | int64](n *N, def N) {
	if *n == 0 {
		*n = def
	}
}
