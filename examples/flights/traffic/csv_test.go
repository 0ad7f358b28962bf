package traffic

import (
	"bytes"
	"compress/gzip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// write makes a file of lines and returns its path.
func write(t *testing.T, name string, compressed bool, lines ...string) string {
	t.Helper()
	text := []byte(strings.Join(lines, "\n") + "\n")
	if compressed {
		var b bytes.Buffer
		z := gzip.NewWriter(&b)
		z.Write(text)
		if err := z.Close(); err != nil {
			t.Fatal(err)
		}
		text = b.Bytes()
	}
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestReadFlights(t *testing.T) {
	t.Parallel()
	want := Row{Flight{"LAS", "PHL", -33, 2176}, time.Date(2001, 1, 1, 0, 1, 0, 0, time.UTC)}
	files := map[string]string{
		"plain":                write(t, "f.csv", false, "date,origin,destination,delay,distance", "2001-01-01T00:01,LAS,PHL,-33,2176"),
		"gzipped":              write(t, "f.csv", true, "date,origin,destination,delay,distance", "2001-01-01T00:01,LAS,PHL,-33,2176"),
		"columns in any order": write(t, "f.csv", false, "distance,more,delay,destination,origin,date", "2176,x,-33,PHL,LAS,2001-01-01T00:01"),
		"quotes and CRLF":      write(t, "f.csv", false, "date,origin,destination,delay,distance\r", `"2001-01-01T00:01","LAS",PHL,"-33",2176`+"\r"),
	}
	for name, path := range files {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var got []Row
			err := ReadFlights(path, func(r Row) error { got = append(got, r); return nil })
			if err != nil || len(got) != 1 || got[0] != want {
				t.Errorf("got %v, %v; want %v", got, err, want)
			}
		})
	}
}

func TestReadFlightsRefuses(t *testing.T) {
	t.Parallel()
	const header = "date,origin,destination,delay,distance"
	tests := map[string]struct {
		lines []string
		want  string
	}{
		"a missing column": {[]string{"date,origin,destination,distance", "x"}, `no column "delay"`},
		"a bad date":       {[]string{header, "2001-01-01T00:01,A,B,1,2", "1/1/2001,A,B,1,2"}, "line 3: date"},
		"a bad delay":      {[]string{header, "2001-01-01T00:01,A,B,late,2"}, `line 2: delay "late"`},
		"a bad distance":   {[]string{header, "2001-01-01T00:01,A,B,1,"}, `distance ""`},
		"no origin":        {[]string{header, "2001-01-01T00:01,,B,1,2"}, "origin or destination is empty"},
		"a short line":     {[]string{header, "2001-01-01T00:01,A"}, "wrong number of fields"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			err := ReadFlights(write(t, "f.csv", false, tt.lines...), func(Row) error { return nil })
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error %v, want one with %q", err, tt.want)
			}
		})
	}
	if err := ReadFlights(filepath.Join(t.TempDir(), "none.csv"), func(Row) error { return nil }); !os.IsNotExist(err) {
		t.Errorf("a file that is not there: %v", err)
	}
}

// The shipped files are what their description says.
func TestShippedData(t *testing.T) {
	t.Parallel()
	n, last := 0, time.Time{}
	err := ReadFlights("", func(r Row) error {
		if r.Date.Before(last) {
			t.Errorf("flight %d is before the one ahead of it", n)
		}
		n, last = n+1, r.Date
		return nil
	})
	if err != nil || n != 200000 {
		t.Errorf("%d flights, %v; want 200000", n, err)
	}
	airports := make(map[string]Airport)
	err = ReadAirports("", func(iata string, a Airport) error { airports[iata] = a; return nil })
	if err != nil || airports["DEN"].City != "Denver" || airports["DEN"].State != "CO" {
		t.Errorf("DEN is %+v, %v", airports["DEN"], err)
	}
}
