package main

import (
	"bytes"
	"fmt"
	"os"
)

// The lines between which a file has the table.
const (
	markBegin = "<!-- make bench-stores writes what follows -->\n"
	markEnd   = "<!-- end of what make bench-stores wrote -->\n"
)

// writeBetween replaces what a file has between the marks.
func writeBetween(path, text string) error {
	old, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	before, rest, begins := bytes.Cut(old, []byte(markBegin))
	_, after, ends := bytes.Cut(rest, []byte(markEnd))
	if !begins || !ends {
		return fmt.Errorf("%s has no place for the table: put these two lines where it belongs:\n%s%s", path, markBegin, markEnd)
	}
	var out bytes.Buffer
	for _, part := range [][]byte{before, []byte(markBegin), []byte(text), []byte(markEnd), after} {
		out.Write(part)
	}
	return os.WriteFile(path, out.Bytes(), 0o644)
}
