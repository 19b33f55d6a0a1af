package sqlitegraph

import (
	"context"
	"database/sql"
	"errors"

	"modernc.org/sqlite"
	codes "modernc.org/sqlite/lib"

	"trellis/graph"
)

// fault turns whatever database/sql and SQLite report into a graph.Error.
func fault(ctx context.Context, err error) error {
	if err == nil {
		return nil
	}
	var g *graph.Error
	if errors.As(err, &g) {
		return err
	}
	if ctx.Err() != nil {
		return graph.Wrap(graph.Canceled, err, "the request ended before it was answered")
	}
	var e *sqlite.Error
	if errors.As(err, &e) {
		switch e.Code() & 0xff {
		case codes.SQLITE_BUSY, codes.SQLITE_LOCKED, codes.SQLITE_PROTOCOL:
			return graph.Wrap(graph.Unavailable, err, "the graph file is busy with another process")
		case codes.SQLITE_FULL:
			return graph.Wrap(graph.Unavailable, err, "the disk of the graph file is full")
		case codes.SQLITE_IOERR:
			return graph.Wrap(graph.Unavailable, err, "the disk of the graph file fails")
		case codes.SQLITE_CANTOPEN, codes.SQLITE_PERM, codes.SQLITE_AUTH:
			return graph.Wrap(graph.Unavailable, err, "the graph file cannot be opened")
		case codes.SQLITE_READONLY:
			return graph.Wrap(graph.Unavailable, err, "the graph file cannot be written")
		case codes.SQLITE_NOMEM:
			return graph.Wrap(graph.Unavailable, err, "not enough memory for the graph store")
		case codes.SQLITE_CORRUPT:
			return graph.Wrap(graph.Corrupt, err, "the graph file is damaged")
		case codes.SQLITE_NOTADB:
			return graph.Wrap(graph.Corrupt, err, "the file is no graph file")
		case codes.SQLITE_TOOBIG:
			return graph.Wrap(graph.TooLarge, err, "a record is too large for the graph file")
		case codes.SQLITE_INTERRUPT:
			return graph.Wrap(graph.Canceled, err, "the request ended before it was answered")
		}
	}
	switch {
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return graph.Wrap(graph.Canceled, err, "the request ended before it was answered")
	case errors.Is(err, sql.ErrConnDone):
		return graph.Wrap(graph.Closed, err, "the graph store is closed")
	}
	return graph.Wrap(graph.Internal, err, "the graph store failed")
}

func isBusy(err error) bool {
	var e *sqlite.Error
	return errors.As(err, &e) && e.Code()&0xff == codes.SQLITE_BUSY
}

func isConstraint(err error) bool {
	var e *sqlite.Error
	return errors.As(err, &e) && e.Code()&0xff == codes.SQLITE_CONSTRAINT
}
