package bulk

import (
	"errors"
	"fmt"
	"io"
)

// An FS is where a Sorter keeps what does not fit into memory. Names are
// single words; the adapter puts them into a directory of its own, which it
// removes when it is opened: nothing here survives a crash.
type FS interface {
	Create(name string) (io.WriteCloser, error)
	Open(name string) (io.ReadCloser, error)
	Remove(name string) error
}

// MinMemory is the least memory that a Sorter works with; less is taken as
// this.
const MinMemory = 1 << 20

// fanIn is how many runs are merged at once.
const fanIn = 128

// A Sorter sorts writes. While a run is written out by a goroutine of its own
// the next one is collected. Its methods are for one goroutine.
type Sorter struct {
	fs    FS
	half  int // bytes of one run in memory; two are held
	cur   *run
	spare *run
	runs  []file // older ones first
	made  int
	busy  chan spilled // nil when nothing is being written out
	err   error
}

// A file is a run that was written out. Its level is how often its entries
// were merged.
type file struct {
	name  string
	level int
}

// spilled is the outcome of a write.
type spilled struct {
	run *run
	err error
}

// New returns a Sorter that holds about memory bytes.
func New(fs FS, memory int) *Sorter {
	half := max(memory, MinMemory) / 2
	return &Sorter{fs: fs, half: half, cur: newRun(half)}
}

// Add takes the next write; a nil value deletes. It keeps neither slice.
func (s *Sorter) Add(key, value []byte) error {
	if s.err != nil {
		return s.err
	}
	if s.cur.len() > 0 && !s.cur.fits(key, value) {
		if s.err = s.spill(); s.err != nil {
			return s.err
		}
	}
	s.cur.add(key, value)
	return nil
}

// spill has the present run written out and begins another.
func (s *Sorter) spill() error {
	if err := s.wait(); err != nil {
		return err
	}
	if err := s.compact(); err != nil {
		return err
	}
	full, name := s.cur, s.name()
	s.cur, s.spare = s.spare, nil
	if s.cur == nil {
		s.cur = newRun(s.half)
	}
	s.runs = append(s.runs, file{name: name})
	busy := make(chan spilled, 1)
	s.busy = busy
	go func() {
		full.sort()
		busy <- spilled{full, s.write(name, full.source())}
	}()
	return nil
}

func (s *Sorter) name() string {
	s.made++
	return fmt.Sprintf("run-%d", s.made)
}

// wait waits for the run that is being written out.
func (s *Sorter) wait() error {
	if s.busy == nil {
		return nil
	}
	done := <-s.busy
	s.busy = nil
	s.spare = done.run
	s.spare.reset()
	return done.err
}

// compact merges the youngest runs when there are many of one level, so that
// the number of open files stays small however large the table is.
func (s *Sorter) compact() error {
	for n := len(s.runs); n >= fanIn && s.runs[n-fanIn].level == s.runs[n-1].level; n = len(s.runs) {
		from := s.runs[n-fanIn:]
		m, err := s.merge(from, nil)
		if err != nil {
			return err
		}
		to := file{name: s.name(), level: from[0].level + 1}
		if err := errors.Join(s.write(to.name, m), m.close()); err != nil {
			return err
		}
		for _, f := range from {
			if err := s.fs.Remove(f.name); err != nil {
				return err
			}
		}
		s.runs = append(s.runs[:n-fanIn], to)
	}
	return nil
}

// write writes what a source yields to a file.
func (s *Sorter) write(name string, from source) error {
	f, err := s.fs.Create(name)
	if err != nil {
		return err
	}
	w := frameWriter{w: f}
	for {
		e, ok, err := from.next()
		if err != nil || !ok {
			return errors.Join(err, w.flush(), f.Close())
		}
		if err := w.add(e); err != nil {
			return errors.Join(err, f.Close())
		}
	}
}

// Each calls f once for each key in ascending order, with its last value;
// deleted keys are left out. The slices are valid during the call. It ends
// the Sorter's life but for Close.
func (s *Sorter) Each(f func(key, value []byte) error) error {
	if err := errors.Join(s.err, s.wait()); err != nil {
		return err
	}
	s.spare = nil
	s.cur.sort()
	m, err := s.merge(s.runs, s.cur.source())
	if err != nil {
		return err
	}
	for {
		e, ok, err := m.next()
		if err != nil || !ok {
			return errors.Join(err, m.close())
		}
		if e.deleted {
			continue
		}
		if err := f(e.key, e.value); err != nil {
			return errors.Join(err, m.close())
		}
	}
}

// Close waits for what still runs and removes the files. Errors of removing
// are left to the adapter, which removes the directory.
func (s *Sorter) Close() {
	_ = s.wait()
	for _, f := range s.runs {
		_ = s.fs.Remove(f.name)
	}
	s.runs, s.cur, s.spare, s.err = nil, nil, nil, errors.New("bulk: the sorter was closed")
}
