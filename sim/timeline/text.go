package timeline

import (
	"bufio"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"
)

// Width of the columns of a text, in characters.
const (
	narrow = 24
	wide   = 48
)

// Text writes the timeline for a terminal. width is how many characters fit
// in a line; 0 means 120, and columns are never narrower than 24 characters.
func (t *Timeline) Text(w io.Writer, width int) error {
	if width == 0 {
		width = 120
	}
	const margin = 18
	col := min(wide, max(narrow, (width-margin)/max(len(t.Columns), 1)))
	out := bufio.NewWriter(w)
	head := make([]string, len(t.Columns))
	for i, c := range t.Columns {
		head[i] = pad("| "+c, col)
	}
	line(out, fmt.Sprintf("%9s %6s  %s", "seconds", "event", strings.Join(head, "")))
	for i := range t.Rows {
		r := &t.Rows[i]
		at := fmt.Sprintf("%9.3f %6d  ", float64(r.At)/1000, r.N)
		if r.Column < 0 {
			line(out, at+"=== "+r.Text)
			continue
		}
		for n, text := range wrap(r.Text, col-3) {
			if n > 0 {
				at = strings.Repeat(" ", len(at))
			}
			cells := make([]string, len(t.Columns))
			for c := range cells {
				cells[c] = pad(bar(r.Alive[c]), col)
			}
			cells[r.Column] = pad(bar(r.Alive[r.Column])+" "+text, col)
			line(out, at+strings.Join(cells, ""))
		}
	}
	for _, v := range t.Violations {
		line(out, "BROKEN "+v.String())
	}
	return out.Flush()
}

func line(out *bufio.Writer, s string) {
	_, _ = out.WriteString(strings.TrimRight(s, " ") + "\n")
}

// bar is the left edge of a column: a worker lives there, or does not.
func bar(alive bool) string {
	if alive {
		return "|"
	}
	return "."
}

func pad(s string, n int) string {
	return s + strings.Repeat(" ", max(n-utf8.RuneCountInString(s), 0))
}

// wrap breaks a text into lines of at most n characters, at spaces where it
// can.
func wrap(s string, n int) []string {
	var lines []string
	rs := []rune(s)
	for len(rs) > n {
		cut := n
		for i := n; i > n/2; i-- {
			if rs[i] == ' ' {
				cut = i
				break
			}
		}
		lines = append(lines, string(rs[:cut]))
		rs = []rune(strings.TrimLeft(string(rs[cut:]), " "))
	}
	return append(lines, string(rs))
}
