package cli

import (
	"fmt"
	"io"
	"strings"
)

// WriteSettings writes the table of settings as Markdown.
func WriteSettings(w io.Writer) error {
	var b strings.Builder
	b.WriteString(`# Settings

<!-- Generated from runtime/cli/settings.go by go generate; do not edit. -->

What the command of an application can be told. A flag wins over the
environment variable, and that over the default. Settings marked *worker* are
for the command ` + "`worker`" + `, the others for all commands. Durations are written
as 500ms, 30s or 2m, sizes as 64MiB or 2GiB. A store that the application adds
may have settings of its own: [those of Aerospike](aerospike.md#settings).

| flag | environment | default | for | meaning |
|---|---|---|---|---|
`)
	for _, row := range table() {
		flag, def := "`--"+row.name+"`", "`"+row.def+"`"
		if row.secret {
			flag = "none, arguments can be seen by others"
		}
		if row.def == "" {
			def = ""
		}
		fmt.Fprintf(&b, "| %s | `%s` | %s | %s | %s |\n", flag, row.env(), def, row.scope, row.doc)
	}
	_, err := io.WriteString(w, b.String())
	return err
}
