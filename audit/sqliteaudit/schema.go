package sqliteaudit

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strconv"
	"strings"
)

// application marks the file as an audit file of Trellis ("TrlA").
const application = 0x54726c41

// migrate brings the schema up to date, in one transaction: two processes that
// start together on a new file do it once.
func migrate(ctx context.Context, w *writer) error {
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
		if n, _, _ := strings.Cut(filepath.Base(steps[i]), "_"); n != strconv.Itoa(i + 10_001)[1:] {
			return fmt.Errorf("schema step %s is out of order", steps[i])
		}
		text, err := files.ReadFile(steps[i])
		if err != nil {
			return err
		}
		if _, err := w.exec(string(text)); err != nil {
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
	foreign := errors.New("it is a database, but no audit file of Trellis")
	switch {
	case mark == application && version > known:
		return fmt.Errorf("it has schema version %d; this program knows versions up to %d: use a newer program", version, known)
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

func identify(w *writer) (version, mark int, err error) {
	v, _, err := w.number("PRAGMA user_version")
	if err != nil {
		return 0, 0, err
	}
	m, _, err := w.number("PRAGMA application_id")
	return int(v), int(m), err
}
