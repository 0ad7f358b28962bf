// Package tabledamage flips bits in the sorted tables of a closed store, for the
// tests of stores that keep their data in files named *.sst.
package tabledamage

import (
	"os"
	"path/filepath"
)

// All flips bits throughout the first half of all tables in a directory.
func All(dir string) error {
	return change(dir, func(b []byte) {
		for i := 100; i < len(b)/2; i += 512 {
			b[i] ^= 0x10
		}
	})
}

// Entries leaves alone what is at the beginning of tables, where the catalog is,
// their indexes at the end, and tables that are small.
func Entries(dir string) error {
	return change(dir, func(b []byte) {
		if len(b) < 8000 {
			return
		}
		for i := len(b) / 3; i < len(b)/2; i += 1000 {
			b[i] ^= 0x10
		}
	})
}

func change(dir string, flip func(b []byte)) error {
	tables, err := filepath.Glob(filepath.Join(dir, "*.sst"))
	if err != nil {
		return err
	}
	for _, name := range tables {
		b, err := os.ReadFile(name) //nolint:gosec // a directory of a test
		if err != nil {
			return err
		}
		flip(b)
		if err := os.WriteFile(name, b, 0o600); err != nil { //nolint:gosec // likewise
			return err
		}
	}
	return nil
}
