package sqlitegraph

import (
	"context"
	"crypto/rand"
	"encoding/base32"
	"io/fs"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"trellis/graph"
)

// application marks the file as a graph of Trellis ("TrlG").
const application = 0x54726c47

// searchStep is the place of 0003_search_again.sql, the last that leaves
// an empty search index: what is in the store already is indexed by the
// program, which knows how texts become words.
const searchStep = 2

// migrate brings the schema up to date, in one transaction: two processes that
// start together on a new file do it once.
func migrate(ctx context.Context, w *writer, newID func() string) error {
	steps, err := fs.Glob(files, "schema/*.sql")
	if err != nil {
		return err
	}
	version, mark, err := identify(w)
	if err != nil {
		return err
	}
	if version == len(steps) && mark == application {
		return nil
	}
	if err := w.patiently(ctx, func() error { _, err := w.exec("BEGIN IMMEDIATE"); return err }); err != nil {
		return err
	}
	// An error closes the connection, which ends the transaction.
	if version, mark, err = identify(w); err != nil {
		return err
	}
	if err := acceptable(w, version, mark, len(steps)); err != nil {
		return err
	}
	for i := version; i < len(steps); i++ {
		if n, _, _ := strings.Cut(filepath.Base(steps[i]), "_"); n != leftPad(i+1) {
			return graph.Errorf(graph.Internal, "schema step %s is out of order", steps[i])
		}
		text, err := files.ReadFile(steps[i])
		if err != nil {
			return err
		}
		if _, err := w.exec(string(text)); err != nil {
			return err
		}
		if i == searchStep && version > 0 {
			if err := indexAll(w); err != nil {
				return err
			}
		}
	}
	if version == 0 {
		if err := firstRows(w, newID()); err != nil {
			return err
		}
	}
	for _, p := range []string{"PRAGMA user_version = " + strconv.Itoa(len(steps)), "PRAGMA application_id = " + strconv.Itoa(application), "COMMIT"} {
		if _, err := w.exec(p); err != nil {
			return err
		}
	}
	return nil
}

// acceptable refuses files that are not ours, or not yet.
func acceptable(w *writer, version, mark, known int) error {
	foreign := graph.Errorf(graph.Corrupt, "the file is a database, but no graph of Trellis")
	switch {
	case mark == application && version > known:
		return graph.Errorf(graph.Invalid, "the graph file has schema version %d; this program knows versions up to %d: use a newer program", version, known)
	case mark == application:
		return nil
	case mark != 0 || version != 0:
		return foreign
	}
	tables, _, err := w.number("SELECT count(*) FROM sqlite_schema")
	if err == nil && tables > 0 {
		err = foreign
	}
	return err
}

func leftPad(n int) string { return strconv.Itoa(n + 10_000)[1:] }

func identify(w *writer) (version, mark int, err error) {
	v, _, err := w.number("PRAGMA user_version")
	if err != nil {
		return 0, 0, err
	}
	m, _, err := w.number("PRAGMA application_id")
	return int(v), int(m), err
}

// firstRows writes what every store holds.
func firstRows(w *writer, id string) error {
	if _, err := w.exec("INSERT INTO store (one, id, head, oldest) VALUES (1, ?, 0, 0)", id); err != nil {
		return err
	}
	now := time.Now().UnixMilli()
	for _, r := range []graph.Ref{graph.Root, graph.Everyone, graph.Authenticated} {
		if _, err := w.exec("INSERT INTO node (ref, props, created, updated, revision) VALUES (?, '{}', ?, ?, 0)", column(r), now, now); err != nil {
			return err
		}
	}
	return nil
}

// randomID has 80 random bits in 16 lower-case letters and digits.
func randomID() string {
	var b [10]byte
	rand.Read(b[:])
	return strings.ToLower(base32.StdEncoding.EncodeToString(b[:]))
}
