package audit_test

import (
	"bytes"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"trellis/audit"
)

// copySpools copies what a process that is killed now would leave.
func copySpools(t *testing.T, from string) string {
	t.Helper()
	to := t.TempDir()
	if err := os.CopyFS(to, os.DirFS(from)); err != nil {
		t.Fatal(err)
	}
	return to
}

// filled is a directory of spools with records, as a kill leaves it: in several
// segments, some of them in fronts only.
func filled(t *testing.T, n int, closed bool) string {
	t.Helper()
	dir := t.TempDir()
	l := openLog(t, audit.LogOptions{Dir: dir, BatchSize: 40}.With(0, 8<<10))
	for i := range n {
		level := audit.Note
		if i%9 == 8 && i < n-20 {
			level = audit.Sync // ends a frame
		}
		appendTo(t, l, level, request(fmt.Sprint(i)))
		if i%10 == 0 {
			appendTo(t, l, audit.Note, decision(fmt.Sprint("d", i)))
		}
	}
	if closed {
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
	}
	return copySpools(t, dir)
}

func files(t *testing.T, dir, pattern string) []string {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(dir, "w_*", pattern))
	if err != nil || len(names) == 0 {
		t.Fatalf("%s: %v, %v", pattern, names, err)
	}
	return names
}

// recovered delivers what is in the directory, and returns it with the state,
// when as many records as there were are delivered or counted as damaged.
func recovered(t *testing.T, dir string, total int) ([]audit.Record, audit.State) {
	t.Helper()
	l, err := audit.OpenLog(defaults(t, audit.LogOptions{Dir: dir, Logger: slog.New(slog.DiscardHandler)}))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	s := newStore()
	stop := ship(t, l, s)
	// Goes on with the chain, or begins another one.
	appendTo(t, l, audit.Note, request("new"))
	flush(t, l)
	for limit := time.Now().Add(time.Second); len(s.all())+int(l.State().Damaged) < total+1 && time.Now().Before(limit); {
		time.Sleep(time.Millisecond)
	}
	stop()
	return s.all(), l.State()
}

// once fails if a record is there twice, or none is linked to a place that another has.
func once(t *testing.T, rs []audit.Record) {
	t.Helper()
	seen := map[string]bool{}
	for _, r := range rs {
		m := r.Meta()
		place := fmt.Sprint(r.Stream(), m.Writer, m.Seq)
		if seen[place] {
			t.Errorf("two records have the place %s", place)
		}
		seen[place] = true
	}
}

const filledRecords = 330 // of filled(300)

func TestWhatIsIntactSurvivesAnyFlippedBit(t *testing.T) {
	for _, closed := range []bool{false, true} {
		t.Run(fmt.Sprint("closed=", closed), func(t *testing.T) {
			origin := filled(t, 300, closed)
			segments := files(t, origin, "wal-*/0*")
			rounds := 60
			if testing.Short() {
				rounds = 15
			}
			lost := 0
			for range rounds {
				dir := copySpools(t, origin)
				name := segments[rand.IntN(len(segments))]
				b, err := os.ReadFile(name)
				if err != nil {
					t.Fatal(err)
				}
				pristine, _, _ := audit.Scan(b)
				at := rand.IntN(len(b))
				b[at] ^= 1 << rand.IntN(8)
				rel, _ := filepath.Rel(origin, name)
				if err := os.WriteFile(filepath.Join(dir, rel), b, 0o600); err != nil {
					t.Fatal(err)
				}
				touched := pristine[slices.IndexFunc(pristine, func(f audit.Found) bool { return at < f.To })]
				rs, st := recovered(t, dir, filledRecords)
				once(t, rs)
				gone := filledRecords + 1 - len(rs)
				if gone > len(touched.Records) || gone != int(st.Damaged) {
					t.Errorf("%s, byte %d in a frame of %d records: %d are gone, %d are counted", rel, at, len(touched.Records), gone, st.Damaged)
				}
				for _, f := range pristine {
					for _, link := range f.Records {
						if f.From != touched.From && !slices.ContainsFunc(rs, func(r audit.Record) bool { return r.Meta().Hash == link.Hash }) {
							t.Errorf("%s, byte %d: %d of another frame is gone", rel, at, link.Seq)
						}
					}
				}
				if gaps := breaks(rs); len(gaps) > 2*gone {
					t.Errorf("%d are gone, and the chains break %d times: %v", gone, len(gaps), gaps)
				}
				kept, err := filepath.Glob(filepath.Join(dir, "w_*", "damaged-*"))
				if gone > 0 && (err != nil || len(kept) != 1) {
					t.Errorf("%s, byte %d: the damaged file is not kept: %v", rel, at, kept)
				}
				lost += gone
				if t.Failed() {
					t.FailNow()
				}
			}
			t.Logf("%d flipped bits cost %d records", rounds, lost)
		})
	}
}

// A bit flipped in a front costs the record it is in, one in the position nothing.
func TestWhatIsIntactSurvivesAFlippedBitElsewhere(t *testing.T) {
	origin := filled(t, 300, false)
	var names []string
	for _, pattern := range []string{"front-*", "position"} {
		names = append(names, files(t, origin, pattern)...)
	}
	for range 40 {
		dir := copySpools(t, origin)
		name := names[rand.IntN(len(names))]
		b, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		used := bytes.LastIndexFunc(b, func(r rune) bool { return r != 0 }) + 1
		at := rand.IntN(max(used, 1))
		b[at] ^= 1 << rand.IntN(8)
		rel, _ := filepath.Rel(origin, name)
		if err := os.WriteFile(filepath.Join(dir, rel), b, 0o600); err != nil {
			t.Fatal(err)
		}
		rs, st := recovered(t, dir, filledRecords)
		once(t, rs)
		gone := filledRecords + 1 - len(rs)
		if gone > 1 || filepath.Base(name) == "position" && gone > 0 || int(st.Damaged) > gone {
			t.Fatalf("%s, byte %d of %d: %d are gone, %d are counted", rel, at, used, gone, st.Damaged)
		}
	}
}

func TestATornEndIsCutOff(t *testing.T) {
	dir := filled(t, 30, false)
	segments := files(t, dir, "wal-*/0*")
	b, err := os.ReadFile(segments[len(segments)-1])
	if err != nil {
		t.Fatal(err)
	}
	pristine, damaged, unknown := audit.Scan(b)
	if damaged || unknown || len(pristine) == 0 {
		t.Fatalf("%v %v %v", pristine, damaged, unknown)
	}
	last := pristine[len(pristine)-1]
	for end := last.From; end < last.To; end++ {
		frames, damaged, unknown := audit.Scan(b[:end])
		if damaged || unknown || len(frames) != len(pristine)-1 {
			t.Errorf("cut at %d of %d to %d: %d frames, damaged %v, unknown %v", end, last.From, last.To, len(frames), damaged, unknown)
		}
	}
	inFronts := 33 - func() (n int) {
		for _, name := range segments {
			content, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			frames, _, _ := audit.Scan(content)
			for _, f := range frames {
				n += len(f.Records)
			}
		}
		return n
	}()
	for end := last.From; end < last.To; end += 83 {
		torn := copySpools(t, dir)
		rel, _ := filepath.Rel(dir, segments[len(segments)-1])
		if err := os.Truncate(filepath.Join(torn, rel), int64(end)); err != nil {
			t.Fatal(err)
		}
		// The front has it still.
		rs, st := recovered(t, copySpools(t, torn), 33)
		if len(rs) != 34 || st.Damaged != 0 {
			t.Errorf("cut at %d: %d came, %+v", end, len(rs), st)
		}
		checkChains(t, rs)
		// Without it, it was never written.
		for _, name := range files(t, torn, "front-*") {
			if err := os.Truncate(name, 0); err != nil {
				t.Fatal(err)
			}
		}
		rs, st = recovered(t, torn, 0)
		missed := 0
		if last.From == 0 {
			// The first of a segment is in the position, too, so that it is missed.
			missed = len(last.Records)
		}
		if want := 33 - inFronts - len(last.Records) + 1; len(rs) != want || int(st.Damaged) != missed && end > 0 {
			t.Errorf("cut at %d: %d of %d came, %+v", end, len(rs), want, st)
		}
		once(t, rs)
	}
}

// A closed log knows what it had, so that a missing end is missed.
func TestAMissingEndOfAClosedLogIsMissed(t *testing.T) {
	for _, what := range []string{"cut", "emptied", "removed", "zeroed"} {
		t.Run(what, func(t *testing.T) {
			dir := filled(t, 300, true)
			for _, name := range files(t, dir, "front-*") {
				if err := os.Remove(name); err != nil {
					t.Fatal(err)
				}
			}
			segments := files(t, dir, "wal-*/0*")
			name := segments[len(segments)-1]
			b, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			switch what {
			case "cut":
				err = os.Truncate(name, int64(len(b)-1))
			case "emptied":
				err = os.Truncate(name, 0)
			case "removed":
				err = os.RemoveAll(filepath.Dir(name))
			case "zeroed":
				err = os.WriteFile(name, make([]byte, len(b)), 0o600)
			}
			if err != nil {
				t.Fatal(err)
			}
			rs, st := recovered(t, dir, filledRecords)
			if gone := filledRecords + 1 - len(rs); gone == 0 || gone != int(st.Damaged) {
				t.Errorf("%d are gone, %+v", gone, st)
			}
			once(t, rs)
			if len(breaks(rs)) == 0 {
				t.Error("the chain does not show it")
			}
		})
	}
}

func TestAMissingSegmentIsMissed(t *testing.T) {
	origin := filled(t, 300, false)
	dirs := files(t, origin, "wal-*")
	for i, name := range dirs {
		dir := copySpools(t, origin)
		rel, _ := filepath.Rel(origin, name)
		had := 0
		content, err := os.ReadFile(filepath.Join(name, "00000000000000000001"))
		if err != nil {
			t.Fatal(err)
		}
		frames, _, _ := audit.Scan(content)
		for _, f := range frames {
			had += len(f.Records)
		}
		if err := os.RemoveAll(filepath.Join(dir, rel)); err != nil {
			t.Fatal(err)
		}
		rs, st := recovered(t, dir, filledRecords)
		once(t, rs)
		gone := filledRecords + 1 - len(rs)
		if gone > had || int(st.Damaged) != gone && i < len(dirs)-1 {
			t.Errorf("%s with %d records: %d are gone, %+v", rel, had, gone, st)
		}
	}
}

// Blocks of zeros, as some file systems leave them after a power cut.
func TestAZeroedBlockCostsWhatWasInIt(t *testing.T) {
	origin := filled(t, 300, false)
	for _, name := range files(t, origin, "wal-*/0*") {
		b, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		pristine, _, _ := audit.Scan(b)
		at := rand.IntN(max(len(b)-4096, 1))
		clear(b[at:min(at+4096, len(b))])
		most := 0
		for _, f := range pristine {
			if f.To > at && f.From < at+4096 {
				most += len(f.Records)
			}
		}
		dir := copySpools(t, origin)
		rel, _ := filepath.Rel(origin, name)
		if err := os.WriteFile(filepath.Join(dir, rel), b, 0o600); err != nil {
			t.Fatal(err)
		}
		rs, st := recovered(t, dir, filledRecords)
		once(t, rs)
		if gone := filledRecords + 1 - len(rs); gone > most || gone != int(st.Damaged) {
			t.Errorf("%s from %d: %d of at most %d are gone, %+v", rel, at, gone, most, st)
		}
	}
}

// What is in a record cannot be taken for a record, whatever a caller writes.
func TestTextThatLooksLikeARecordIsText(t *testing.T) {
	inner := filled(t, 30, true)
	b, err := os.ReadFile(files(t, inner, "wal-*/0*")[0])
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	l := openLog(t, audit.LogOptions{Dir: dir})
	appendTo(t, l, audit.Sync, &audit.Event{After: string(b), Reason: string(b)})
	name := files(t, dir, "wal-*/0*")[0]
	b, err = os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	b[len(b)-1] ^= 1 // so that it is searched
	frames, damaged, _ := audit.Scan(b)
	if !damaged || len(frames) > 1 || len(frames) == 1 && len(frames[0].Records) > 0 {
		t.Errorf("%v", frames)
	}
}

func FuzzScan(f *testing.F) {
	dir := f.TempDir()
	l, err := audit.OpenLog(audit.LogOptions{Dir: dir, Secret: []byte(strings.Repeat("k", 32))})
	if err != nil {
		f.Fatal(err)
	}
	for i := range 4 {
		if err := l.Append(f.Context(), audit.Sync, request(fmt.Sprint(i)), decision("d")); err != nil {
			f.Fatal(err)
		}
	}
	if err := l.Close(); err != nil {
		f.Fatal(err)
	}
	names, err := filepath.Glob(filepath.Join(dir, "w_*", "wal-*", "0*"))
	if err != nil {
		f.Fatal(err)
	}
	log, err := os.ReadFile(names[0])
	if err != nil {
		f.Fatal(err)
	}
	f.Add([]byte{}, 0)
	f.Add(log[:len(log)/2], 7)
	f.Add([]byte("\xffTA\xff"), len(log))
	f.Fuzz(func(t *testing.T, junk []byte, at int) {
		// Anything is put somewhere into a log: it does not fail, and what is
		// intact before and after is found.
		if at < 0 || at > len(log) {
			at = len(log)
		}
		all, _, _ := audit.Scan(log)
		b := slices.Concat(log[:at], junk, log[at:])
		frames, _, _ := audit.Scan(b)
		had := map[audit.Hash]bool{}
		for _, f := range frames {
			if f.From < 0 || f.To > len(b) || f.From >= f.To {
				t.Fatalf("%+v", f)
			}
			for _, r := range f.Records {
				had[r.Hash] = true
			}
		}
		for _, f := range all {
			for _, r := range f.Records {
				if (f.To <= at || f.From >= at) && !had[r.Hash] {
					t.Fatalf("%d is not found with %x at %d", r.Seq, junk, at)
				}
			}
		}
	})
}
