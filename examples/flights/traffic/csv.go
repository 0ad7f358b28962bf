package traffic

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"time"

	"github.com/weirstream/weir/examples/flights/data"
)

// A Row is one line of a file of flights.
type Row struct {
	Flight
	Date time.Time // taken as UTC
}

// open opens a CSV file, compressed or not, or for an empty path the data that
// is shipped with the example.
func open(path string, shipped []byte) (io.ReadCloser, error) {
	if path == "" {
		return decompress(io.NopCloser(bytes.NewReader(shipped)))
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	r, err := decompress(f)
	if err != nil {
		_ = f.Close()
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return r, nil
}

// decompress looks at the content, not at the name.
func decompress(f io.ReadCloser) (io.ReadCloser, error) {
	in := bufio.NewReaderSize(f, 1<<16)
	magic, err := in.Peek(2)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	type reader struct {
		io.Reader
		io.Closer
	}
	if !bytes.Equal(magic, []byte{0x1f, 0x8b}) {
		return reader{in, f}, nil
	}
	z, err := gzip.NewReader(in)
	if err != nil {
		return nil, err
	}
	return reader{z, f}, nil
}

// ReadFlights calls got with each flight of a CSV file, compressed or not, or
// for an empty path of the shipped one. It ends with the first error of got.
func ReadFlights(path string, got func(r Row) error) error {
	return readCSV(path, data.Flights, []string{"date", "origin", "destination", "delay", "distance"}, func(f []string) error {
		r, err := parseFlight(f)
		if err != nil {
			return err
		}
		return got(r)
	})
}

func parseFlight(f []string) (r Row, err error) {
	if r.Date, err = time.Parse("2006-01-02T15:04", f[0]); err != nil {
		return r, fmt.Errorf("date %q: write it as 2001-12-31T23:59", f[0])
	}
	r.Origin, r.Destination = f[1], f[2]
	if r.Origin == "" || r.Destination == "" {
		return r, errors.New("origin or destination is empty")
	}
	if r.Delay, err = strconv.Atoi(f[3]); err != nil {
		return r, fmt.Errorf("delay %q is not a whole number", f[3])
	}
	if r.Distance, err = strconv.Atoi(f[4]); err != nil {
		return r, fmt.Errorf("distance %q is not a whole number", f[4])
	}
	return r, nil
}

// ReadAirports calls got with each airport of such a file.
func ReadAirports(path string, got func(iata string, a Airport) error) error {
	return readCSV(path, data.Airports, []string{"iata", "name", "city", "state"}, func(f []string) error {
		if f[0] == "" {
			return errors.New("iata is empty")
		}
		return got(f[0], Airport{Name: f[1], City: f[2], State: f[3]})
	})
}

// readCSV calls got with the named columns of each line.
func readCSV(path string, shipped []byte, columns []string, got func(fields []string) error) error {
	f, err := open(path, shipped)
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }()
	if path == "" {
		path = "shipped data"
	}
	in := csv.NewReader(f)
	header, err := in.Read()
	if err != nil {
		return fmt.Errorf("%s: reading the header: %w", path, err)
	}
	at := make([]int, len(columns))
	for i, c := range columns {
		if at[i] = index(header, c); at[i] < 0 {
			return fmt.Errorf("%s has no column %q; its header is %q", path, c, header)
		}
	}
	in.ReuseRecord = true
	fields := make([]string, len(columns))
	for {
		rec, err := in.Read()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
		for i, c := range at {
			fields[i] = rec[c]
		}
		if err := got(fields); err != nil {
			line, _ := in.FieldPos(0)
			return fmt.Errorf("%s, line %d: %w", path, line, err)
		}
	}
}

func index(list []string, s string) int {
	for i, x := range list {
		if x == s {
			return i
		}
	}
	return -1
}
