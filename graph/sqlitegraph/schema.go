package sqlitegraph

import (
	"context"
	"crypto/rand"
	"database/sql"
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

// migrate brings the schema up to date, in one transaction: two processes that
// start together on a new file do it once.
func migrate(ctx context.Context, c *sql.Conn, w *writer, newID func() string) error {
	steps, err := fs.Glob(files, "schema/*.sql")
	if err != nil {
		return err
	}
	version, mark, err := identify(ctx, c)
	if err != nil {
		return err
	}
	if version == len(steps) && mark == application {
		return nil
	}
	if err := w.begin(ctx, c); err != nil {
		return err
	}
	defer c.ExecContext(context.WithoutCancel(ctx), "ROLLBACK") // after COMMIT it has nothing to do
	if version, mark, err = identify(ctx, c); err != nil {
		return err
	}
	switch {
	case mark != application && version > 0, mark != 0 && mark != application:
		return graph.Errorf(graph.Corrupt, "the file is a database, but no graph of Trellis")
	case version > len(steps):
		return graph.Errorf(graph.Invalid, "the graph file has schema version %d; this program knows versions up to %d: use a newer program", version, len(steps))
	case mark == 0:
		var tables int
		if err := c.QueryRowContext(ctx, "SELECT count(*) FROM sqlite_schema").Scan(&tables); err != nil {
			return err
		}
		if tables > 0 {
			return graph.Errorf(graph.Corrupt, "the file is a database, but no graph of Trellis")
		}
	}
	for i := version; i < len(steps); i++ {
		if n, _, _ := strings.Cut(filepath.Base(steps[i]), "_"); n != leftPad(i+1) {
			return graph.Errorf(graph.Internal, "schema step %s is out of order", steps[i])
		}
		text, err := files.ReadFile(steps[i])
		if err != nil {
			return err
		}
		if _, err := c.ExecContext(ctx, string(text)); err != nil {
			return err
		}
	}
	if version == 0 {
		if err := firstRows(ctx, c, newID()); err != nil {
			return err
		}
	}
	for _, p := range []string{"PRAGMA user_version = " + strconv.Itoa(len(steps)), "PRAGMA application_id = " + strconv.Itoa(application), "COMMIT"} {
		if _, err := c.ExecContext(ctx, p); err != nil {
			return err
		}
	}
	return nil
}

func leftPad(n int) string { return strconv.Itoa(n + 10_000)[1:] }

func identify(ctx context.Context, c *sql.Conn) (version, mark int, err error) {
	if err = c.QueryRowContext(ctx, "PRAGMA user_version").Scan(&version); err != nil {
		return 0, 0, err
	}
	err = c.QueryRowContext(ctx, "PRAGMA application_id").Scan(&mark)
	return version, mark, err
}

// firstRows writes what every store holds.
func firstRows(ctx context.Context, c *sql.Conn, id string) error {
	if _, err := c.ExecContext(ctx, "INSERT INTO store (one, id, head, oldest) VALUES (1, ?, 0, 0)", id); err != nil {
		return err
	}
	now := time.Now().UnixMilli()
	for _, r := range []graph.Ref{graph.Root, graph.Everyone, graph.Authenticated} {
		if _, err := c.ExecContext(ctx, "INSERT INTO node (ref, props, created, updated, revision) VALUES (?, '{}', ?, ?, 0)", column(r), now, now); err != nil {
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
