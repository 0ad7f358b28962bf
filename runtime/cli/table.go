package cli

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/weirstream/weir"
	"github.com/weirstream/weir/runtime"
)

// ErrNotFound is returned by `table get` for a key that is not there.
var ErrNotFound = errors.New("not found")

func tableCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "table",
		Short: "List and read the application's tables",
		Long: `List and read the application's tables.

Tables are read from Kafka, committed data only, so this works while workers
run, while none does, and from anywhere.`,
	}
	cmd.AddCommand(
		&cobra.Command{
			Use: "list", Short: "List the tables", Args: cobra.NoArgs,
			RunE: func(cmd *cobra.Command, _ []string) error { return From(cmd.Context()).listTables() },
		},
		&cobra.Command{
			Use: "get TABLE KEY", Short: "Print the entry of a key, for windowed tables all its windows", Args: cobra.ExactArgs(2),
			Long: `Print the entry of a key, as JSON. For windowed tables that is a line for
each window. The key is written as JSON; a string needs no quotes.`,
			RunE: func(cmd *cobra.Command, args []string) error {
				return From(cmd.Context()).getTable(cmd.Context(), args[0], args[1])
			},
		},
		&cobra.Command{
			Use: "dump TABLE", Short: "Print all entries", Args: cobra.ExactArgs(1),
			Long: `Print all entries as JSON, one a line: key, window if the table has them, value.
Within a partition they are in the order of the table.`,
			RunE: func(cmd *cobra.Command, args []string) error {
				return From(cmd.Context()).dumpTable(cmd.Context(), args[0])
			},
		})
	return cmd
}

func (e *Env) listTables() error {
	w := tabwriter.NewWriter(e.Out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "TABLE\tKEY\tVALUE\tWINDOW\tTOPIC")
	for _, t := range e.App.Tables() {
		window := "-"
		if t.Window != nil {
			window = millis(t.Window.Size).String()
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\n", t.Name, t.KeyType, t.ValueType, window, t.Log)
	}
	return w.Flush()
}

func millis(ms int64) time.Duration { return time.Duration(ms) * time.Millisecond }

// tableInfo finds a table by name.
func (e *Env) tableInfo(name string) (weir.TableInfo, error) {
	if _, err := e.Topology(); err != nil {
		return weir.TableInfo{}, err
	}
	var names []string
	for _, t := range e.App.Tables() {
		if t.Name == name {
			return t, nil
		}
		names = append(names, t.Name)
	}
	return weir.TableInfo{}, fmt.Errorf("there is no table %q: choose one of %s", name, strings.Join(names, ", "))
}

// A TableEntry is one entry of a table as bytes, for tools. In a windowed
// table it belongs to the window that begins at Start.
type TableEntry struct {
	Partition  int32
	Windowed   bool
	Start      int64 // Unix milliseconds
	Key, Value []byte
}

// ReadTable calls got with each committed entry of a table.
func (e *Env) ReadTable(ctx context.Context, tr runtime.Transport, table string, got func(en TableEntry) error) error {
	info, err := e.tableInfo(table)
	if err != nil {
		return err
	}
	return readTable(ctx, tr, info, nil, got)
}

// readTable reads the entries of a key, or for a nil key all.
func readTable(ctx context.Context, tr runtime.Transport, info weir.TableInfo, key []byte, got func(en TableEntry) error) error {
	want := func(storageKey []byte) bool {
		if key == nil {
			return true
		}
		_, k, _ := info.Split(storageKey)
		return bytes.Equal(k, key)
	}
	return fold(ctx, tr, info.Log, want, func(p int32, en entry) error {
		start, k, windowed := info.Split(en.key)
		return got(TableEntry{Partition: p, Windowed: windowed, Start: start, Key: k, Value: en.value})
	})
}

// A line is one entry as NDJSON.
type line struct {
	Key    any         `json:"key"`
	Window *lineWindow `json:"window,omitempty"`
	Value  any         `json:"value"`
}

type lineWindow struct {
	Start time.Time `json:"start"`
	End   time.Time `json:"end"`
}

// lineOf decodes an entry.
func lineOf(info weir.TableInfo, en TableEntry) (line, error) {
	key, err := info.DecodeKey(en.Key)
	if err != nil {
		return line{}, fmt.Errorf("table %q, partition %d: key %q: %w", info.Name, en.Partition, en.Key, err)
	}
	value, err := info.DecodeValue(en.Value)
	if err != nil {
		return line{}, fmt.Errorf("table %q, partition %d: value of key %v: %w", info.Name, en.Partition, key, err)
	}
	l := line{Key: key, Value: value}
	if en.Windowed {
		start := time.UnixMilli(en.Start).UTC()
		l.Window = &lineWindow{start, start.Add(millis(info.Window.Size))}
	}
	return l, nil
}

func (e *Env) dumpTable(ctx context.Context, name string) error {
	_, err := e.printTable(ctx, name, func(weir.TableInfo) ([]byte, error) { return nil, nil })
	return err
}

func (e *Env) getTable(ctx context.Context, name, key string) error {
	n, err := e.printTable(ctx, name, func(info weir.TableInfo) ([]byte, error) {
		k, err := info.EncodeKeyJSON(key)
		if err == nil && k == nil {
			err = errors.New("tables have no null key")
		}
		if err != nil {
			return nil, fmt.Errorf("key %s of table %q: %w", key, name, err)
		}
		return k, nil
	})
	if err == nil && n == 0 {
		err = fmt.Errorf("table %q, key %s: %w", name, key, ErrNotFound)
	}
	return err
}

// printTable prints the entries of a key, or for a nil one all, and counts
// them.
func (e *Env) printTable(ctx context.Context, name string, keyOf func(weir.TableInfo) ([]byte, error)) (int, error) {
	info, err := e.tableInfo(name)
	if err != nil {
		return 0, err
	}
	key, err := keyOf(info)
	if err != nil {
		return 0, err
	}
	tr, err := e.Connect(ctx)
	if err != nil {
		return 0, err
	}
	defer e.closing("connection", tr.Close)
	out := bufio.NewWriter(e.Out)
	enc := json.NewEncoder(out)
	enc.SetEscapeHTML(false)
	n := 0
	err = readTable(ctx, tr, info, key, func(en TableEntry) error {
		l, err := lineOf(info, en)
		if err != nil {
			return err
		}
		n++
		return enc.Encode(l)
	})
	return n, errors.Join(err, out.Flush())
}
