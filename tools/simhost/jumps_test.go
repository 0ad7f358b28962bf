package simhost

import (
	"context"
	"encoding/binary"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"
)

// loadAsBuilt loads the program with the jumps that the compiler made.
func loadAsBuilt(tb testing.TB) (h loaded, code []byte) {
	tb.Helper()
	code, err := built()
	if err != nil {
		tb.Fatal(err)
	}
	if h, err = compiled(code); err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = h.Close(context.Background()) })
	return h, code
}

// A loaded is a module, and how much code it was compiled to.
type loaded struct {
	*Host
	size int64
}

func compiled(code []byte) (h loaded, err error) {
	dir, err := os.MkdirTemp("", "simhost")
	if err != nil {
		return loaded{}, err
	}
	defer os.RemoveAll(dir)
	if h.Host, err = compile(context.Background(), code, dir); err != nil {
		return loaded{}, err
	}
	err = filepath.WalkDir(dir, func(_ string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		info, err := d.Info()
		if err == nil {
			h.size += info.Size()
		}
		return err
	})
	return h, err
}

// A program with direct jumps does what it did before, in less code, and nearly
// all functions have them.
func TestDirectJumps(t *testing.T) {
	h, code := loadAsBuilt(t)
	for seed := range uint64(3) {
		before, was, err := runOn(t, h.Host, Run{Seed: seed}, "TestOrder")
		if err != nil {
			t.Fatal(err)
		}
		after, is, err := runOnce(t, Run{Seed: seed}, "TestOrder")
		if err != nil {
			t.Fatal(err)
		}
		if before.Trace != after.Trace || before.Events != after.Events || orderLine(t, was) != orderLine(t, is) {
			t.Errorf("seed %d:\n%+v\n%+v\n%s%s", seed, before, after, orderLine(t, was), orderLine(t, is))
		}
	}
	lean, err := load()
	if err != nil {
		t.Fatal(err)
	}
	if lean.size == 0 || lean.size > h.size*9/10 {
		t.Errorf("%d bytes of compiled code, and %d as it was built: a tenth less, at least, was expected", lean.size, h.size)
	}
	m, err := survey(code)
	if err != nil {
		t.Fatal(err)
	}
	var bodies [][]byte
	for r := (&wasmReader{b: code, i: len(wasmMagic)}); !r.end(); {
		if id, section := r.byte(), r.take(r.uint()); id == sectionCode {
			bodies = functions(section)
		}
	}
	if m.deferreturn == 0 || m.imports == 0 {
		t.Fatalf("%d imports, deferreturn is %d", m.imports, m.deferreturn)
	}
	rows, done, blocks, kept := 0, 0, 0, 0
	for f, body := range bodies {
		w := walk(body)
		for !w.end() {
			w.note(w.step())
		}
		if w.table == nil {
			continue
		}
		rows++
		if entered := m.entered(uint64(f), body); entered != nil {
			done++
			blocks += w.blocks
			for _, is := range entered {
				if is {
					kept++
				}
			}
		}
	}
	t.Logf("%d of %d functions, %d of %d blocks stay in their tables", done, rows, kept, blocks)
	if rows < 1000 || done < rows*99/100 || kept > blocks*3/4 {
		t.Errorf("%d of %d functions were understood, %d of %d blocks stay in their tables", done, rows, kept, blocks)
	}
}

// BenchmarkDirectJumps compares a program with direct jumps, and lean functions,
// to what it was.
func BenchmarkDirectJumps(b *testing.B) {
	was, _ := loadAsBuilt(b)
	is, err := load()
	if err != nil {
		b.Fatal(err)
	}
	var took [2]time.Duration
	for b.Loop() {
		for i, h := range []*Host{was.Host, is.Host} {
			begin := time.Now()
			if _, out, err := runOn(b, h, Run{Seed: 1}, "TestWork"); err != nil {
				b.Fatal(err, out)
			}
			took[i] += time.Since(begin)
		}
	}
	b.ReportMetric(took[0].Seconds()/took[1].Seconds(), "times-as-fast")
}

// functions are the bodies of a section.
func functions(section []byte) (bodies [][]byte) {
	r := &wasmReader{b: section}
	for n := r.uint(); n > 0 && !r.bad; n-- {
		bodies = append(bodies, r.take(r.uint()))
	}
	return bodies
}

// section is one of a module.
func section(id byte, b ...byte) []byte { return append([]byte{id}, sized(b)...) }

// sized is something with its length before it.
func sized(b []byte) []byte { return append(binary.AppendUvarint(nil, uint64(len(b))), b...) }

// module is a module of one function, the first that Go would number. Number 9 is
// deferreturn.
func module(code ...byte) []byte {
	functions := section(1, append([]byte{1, 9}, sized([]byte("runtime.deferreturn"))...)...)
	return slices.Concat([]byte(wasmMagic),
		section(sectionCode, append([]byte{1}, sized(append([]byte{0}, code...))...)...),
		section(sectionCustom, append(sized([]byte("name")), functions...)...))
}

// The function of these has four blocks. In the first it jumps to the third, or
// leaves all of it; from the second, which begins with more, it jumps to where
// back says.
func before(back byte, more ...byte) []byte {
	return module(slices.Concat([]byte{
		opBlock, noValues, opLoop, noValues,
		opBlock, noValues, opBlock, noValues, opBlock, noValues, opBlock, noValues,
		opLocalGet, 0, opBrTable, 4, 0, 1, 2, 3, 3,
		opEnd,
		opI32Const, 0, opIf, noValues, opI32Const, 2, opLocalSet, 0, opBr, 4, opEnd, opI32Const, 0, opBrIf, 4,
		opEnd,
	}, more, []byte{
		opI32Const, back, opLocalSet, 0, opBr, 2,
		opEnd,
		opReturn,
		opEnd,
		opReturn,
		opEnd, opUnreachable, opEnd, opEnd,
	})...)
}

func after(back byte, table [4]byte, more ...byte) []byte {
	return module(slices.Concat([]byte{
		opBlock, noValues, opLoop, noValues, opBlock, noValues,
		opBlock, noValues, opBlock, noValues, opBlock, noValues, opBlock, noValues,
		opLocalGet, 0, opI32Eqz, opBrIf, 0,
		opLocalGet, 0, opBrTable, 4, table[0], table[1], table[2], table[3], table[3],
		opEnd,
		opI32Const, 0, opBrIf, 1, opI32Const, 0, opBrIf, 5,
		opEnd,
	}, more, []byte{
		opI32Const, back, opLocalSet, 0, opBr, 3,
		opEnd,
		opReturn,
		opEnd,
		opReturn,
		opEnd, opEnd, opUnreachable, opEnd, opEnd,
	})...)
}

func TestDirect(t *testing.T) {
	const rest = 4 // where the table leads that needs no block any more
	resumed := append(binary.AppendUvarint([]byte{opI64Const}, 0x1000<<16|3), opDrop)
	another := append(binary.AppendUvarint([]byte{opI64Const}, 0x1001<<16|3), opDrop)
	for name, c := range map[string]struct{ old, want []byte }{
		"a loop":                       {before(1), after(1, [4]byte{0, 1, rest, rest})},
		"a longer one":                 {before(0), after(0, [4]byte{0, rest, rest, rest})},
		"resumed after a call":         {before(1, resumed...), after(1, [4]byte{0, 1, rest, 3}, resumed...)},
		"another function is":          {before(1, another...), after(1, [4]byte{0, 1, rest, rest}, another...)},
		"deferred calls":               {before(1, opCall, 9), after(1, [4]byte{0, 1, 2, 3}, opCall, 9)},
		"jumps if":                     {old: before(1, opI32Const, 1, opBrIf, 2)},
		"jumps to nobody knows where":  {old: before(1, opLocalGet, 1, opLocalSet, 0, opBr, 2)},
		"another table":                {old: before(1, opI32Const, 1, opBrTable, 1, 0, 1)},
		"an instruction of the future": {old: before(1, 0xfd, 0x0c)},
		"no row":                       {old: module(opLoop, noValues, opBr, 0, opEnd, opEnd)},
	} {
		if c.want == nil {
			c.want = c.old
		}
		if got, err := direct(c.old); err != nil || !slices.Equal(got, c.want) {
			t.Errorf("%s: %v\ngot  %x\nwant %x", name, err, got, c.want)
		}
	}
}

func TestDirectRefuses(t *testing.T) {
	whole := before(1)
	ends := map[int]bool{len(wasmMagic): true} // of sections
	for r := (&wasmReader{b: whole, i: len(wasmMagic)}); !r.end(); ends[r.i] = true {
		r.byte()
		r.take(r.uint())
	}
	for n := range len(whole) + 1 {
		if _, err := direct(whole[:n]); (err == nil) != ends[n] {
			t.Errorf("the first %d bytes of a module: %v", n, err)
		}
	}
	for _, b := range [][]byte{nil, []byte("\x7fELF\x01\x00\x00\x00")} {
		if _, err := direct(b); err == nil {
			t.Errorf("%x is taken for a module", b)
		}
	}
}
