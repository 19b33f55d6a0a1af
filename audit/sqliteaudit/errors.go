package sqliteaudit

import (
	"context"
	"errors"
	"fmt"

	"modernc.org/sqlite"
	codes "modernc.org/sqlite/lib"

	"trellis/audit"
)

// fault turns what database/sql and SQLite report into the errors of the
// contract. A damaged file is not the batch's fault: with the file replaced,
// the same batch will do, so it counts as unavailable.
func (s *Sink) fault(ctx context.Context, err error) error {
	if err == nil || errors.Is(err, audit.ErrUnavailable) || errors.Is(err, audit.ErrRefused) {
		return err
	}
	if ctx.Err() != nil {
		return fmt.Errorf("audit: %w", ctx.Err())
	}
	var e *sqlite.Error
	if !errors.As(err, &e) {
		return fmt.Errorf("audit: the audit file %s: %w", s.path, err)
	}
	what := "fails"
	switch e.Code() & 0xff {
	case codes.SQLITE_BUSY, codes.SQLITE_LOCKED, codes.SQLITE_PROTOCOL:
		what = "is busy with another process"
	case codes.SQLITE_FULL:
		what = "has no more room on its disk"
	case codes.SQLITE_IOERR:
		what = "cannot be read or written, its disk fails"
	case codes.SQLITE_CANTOPEN, codes.SQLITE_PERM, codes.SQLITE_AUTH:
		what = "cannot be opened"
	case codes.SQLITE_READONLY:
		what = "cannot be written"
	case codes.SQLITE_NOMEM:
		what = "needs more memory than there is"
	case codes.SQLITE_CORRUPT:
		what = "is damaged"
	case codes.SQLITE_NOTADB:
		what = "is no audit file"
	case codes.SQLITE_TOOBIG:
		return fmt.Errorf("%w: a record is too large for the audit file: %w", audit.ErrRefused, err)
	}
	return fmt.Errorf("%w: the audit file %s %s: %w", audit.ErrUnavailable, s.path, what, err)
}

func isBusy(err error) bool {
	var e *sqlite.Error
	return errors.As(err, &e) && e.Code()&0xff == codes.SQLITE_BUSY
}

// damaged says that the file holds what no delivery writes.
func (s *Sink) damaged(format string, args ...any) error {
	return fmt.Errorf("%w: the audit file %s is damaged: %s", audit.ErrUnavailable, s.path, fmt.Sprintf(format, args...))
}
