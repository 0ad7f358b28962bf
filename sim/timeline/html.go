package timeline

import (
	_ "embed"
	"fmt"
	"html/template"
	"io"
)

//go:embed page.html
var page string

var pageTemplate = template.Must(template.New("page").Funcs(template.FuncMap{
	"seconds": func(ms int64) string { return fmt.Sprintf("%.3f", float64(ms)/1000) },
	"cells":   cells,
}).Parse(page))

// A cell is what a row has in one column.
type cell struct {
	Alive bool
	Text  string
}

func cells(r Row) []cell {
	cs := make([]cell, len(r.Alive))
	for i, alive := range r.Alive {
		cs[i].Alive = alive
		if i == r.Column {
			cs[i].Text = r.Text
		}
	}
	return cs
}

// HTML writes the timeline as one page that refers to nothing outside of it.
func (t *Timeline) HTML(w io.Writer, title string) error {
	return pageTemplate.Execute(w, struct {
		*Timeline

		Title   string
		Classes []Class
	}{t, title, []Class{Life, Crash, Group, Commit, Failure, Restore, Fault, Milestone}})
}
