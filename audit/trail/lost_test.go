package trail_test

import (
	"bytes"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"trellis/audit"
	"trellis/audit/trail"
)

func TestANewSinkBeginsWhereTheOldOneEnds(t *testing.T) {
	w := settle(t, openStore(t, t.TempDir()+"/graph.db"))
	old := newSink(t, filepath.Join(t.TempDir(), "old.db"))
	f, stop := w.follow(w.store, old, trail.Options{})
	flush(t, f)
	stop()
	before := w.head()
	s := newSink(t, filepath.Join(t.TempDir(), "new.db"))
	f, stop = w.follow(w.store, s, trail.Options{})
	w.must(root, `{"op":"create","node":"group:g","data":{}}`)
	flush(t, f)
	stop()
	got := s.events(t)
	if len(got) != 2 || got[0].Action != "audit:begin" || got[0].Revision != int64(before) || got[0].Outcome != audit.Success || got[1].Action != "group:create" {
		t.Fatalf("%+v", got)
	}
	if f.State().Damaged != 0 {
		t.Errorf("%+v", f.State())
	}
	verified(t, s)
}

// Whoever removes the end of the log finds it said in the log.
func TestALostEndIsWrittenDown(t *testing.T) {
	w := settle(t, openStore(t, t.TempDir()+"/graph.db"))
	s := newSink(t, filepath.Join(t.TempDir(), "sink.db"))
	f, stop := w.follow(w.store, s, trail.Options{})
	flush(t, f)
	stop()
	was := s.events(t)
	keep := was[len(was)/2]
	s.exec(t, "DELETE FROM event WHERE seq > ?", keep.Seq)
	var log bytes.Buffer
	f, stop = w.follow(w.store, s, trail.Options{Logger: slog.New(slog.NewTextHandler(&log, nil))})
	w.must(root, `{"op":"create","node":"group:g","data":{}}`)
	flush(t, f)
	stop()
	got := s.events(t)[keep.Seq:]
	if len(got) != 2 || got[0].Action != "audit:gap" || got[0].Outcome != audit.Failure || !strings.Contains(got[0].Reason, fmt.Sprintf("revision %d ", keep.Revision)) {
		t.Fatalf("%+v", got)
	}
	// Events of the change that was cut in the middle cannot be told from it.
	if n := f.State().Damaged; n < 1 || n > int64(len(was))-int64(keep.Seq) {
		t.Errorf("%d events are said to be missing, %d are", n, len(was)-int(keep.Seq))
	}
	if !strings.Contains(log.String(), "has lost the end") {
		t.Errorf("the log does not tell of it:\n%s", &log)
	}
	verified(t, s)
	// Once is enough.
	f, stop = w.follow(w.store, s, trail.Options{})
	flush(t, f)
	stop()
	if n := len(s.events(t)); n != int(keep.Seq)+2 || f.State().Damaged != 0 {
		t.Errorf("%d events, %+v", n, f.State())
	}
}

// A graph that is put back to an earlier state gives the same revisions to other
// changes; they are recorded all the same.
func TestAGraphPutBackIsRecordedOn(t *testing.T) {
	dir := t.TempDir()
	s := newSink(t, filepath.Join(dir, "sink.db"))
	live := func(path, text string) {
		store, err := storeAt(path)
		if err != nil {
			t.Fatal(err)
		}
		defer store.Close()
		var w *world
		if info, _ := store.Info(t.Context()); info.Head == 0 {
			w = settle(t, store)
		} else {
			w = attach(t, store)
		}
		defer w.graph.Close()
		f, stop := w.follow(store, s, trail.Options{})
		defer stop()
		flush(t, f)
		w.must(root, text)
		flush(t, f)
	}
	path := filepath.Join(dir, "graph.db")
	live(path, `{"op":"create","node":"group:first","data":{}}`)
	copyFile(t, path, path+".backup")
	live(path, `{"op":"create","node":"group:lost","data":{}}`)
	live(path+".backup", `{"op":"create","node":"group:found","data":{}}`)
	got := s.events(t)
	if len(got) < 2 {
		t.Fatal(len(got))
	}
	lost, found := got[len(got)-2], got[len(got)-1]
	if lost.Node != "group:lost" || found.Node != "group:found" || lost.Revision != found.Revision {
		t.Errorf("%s at %d, %s at %d", line(lost), lost.Revision, line(found), found.Revision)
	}
	verified(t, s)
}

func TestTheFeedBeginsLate(t *testing.T) {
	w := settle(t, openStore(t, t.TempDir()+"/graph.db"))
	if _, err := w.store.Trim(t.Context(), time.Now().Add(time.Hour)); err != nil {
		t.Fatal(err)
	}
	from := w.head()
	if w.oldest() != from {
		t.Fatal("nothing was trimmed")
	}
	s := newSink(t, filepath.Join(t.TempDir(), "sink.db"))
	f, _ := w.follow(w.store, s, trail.Options{})
	w.must(root, `{"op":"create","node":"group:g","data":{}}`)
	flush(t, f)
	got := s.events(t)
	if len(got) != 2 || got[0].Action != "audit:begin" || got[0].Revision != int64(from) || got[1].Action != "group:create" {
		t.Errorf("%+v", got)
	}
}

func copyFile(t *testing.T, from, to string) {
	t.Helper()
	for _, suffix := range []string{"", "-wal"} {
		b, err := os.ReadFile(from + suffix)
		if err != nil && !os.IsNotExist(err) {
			t.Fatal(err)
		}
		if err == nil {
			if err := os.WriteFile(to+suffix, b, 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
}
