package audit

import (
	"errors"
	"time"
)

// Level says what a caller of Log.Append needs before it goes on.
type Level uint8

const (
	// Note is for what may be lost at worst: the record outlives the process,
	// so that killing it loses nothing; a failing machine may lose the last
	// second. When the spool is full it is dropped and counted.
	Note Level = iota
	// Must is like Note, but a full spool is ErrFull: the caller must not go on.
	Must
	// Sync is like Must, and the record is on disk (fsync).
	Sync
)

// ErrFull says that the spool has reached its limit, or cannot be written to,
// and that what must be recorded cannot be.
var ErrFull = errors.New("audit: the spool takes no more records")

// State tells how far behind a source of records is.
type State struct {
	// Backlog is how much is recorded and not yet delivered: records, or
	// changes of the graph. Oldest is when the first of them was, zero if there is none.
	Backlog int64
	Oldest  time.Time
	// Bytes is what the spool takes on disk, Limit what it may take. 0 where there is none.
	Bytes, Limit int64
	// Dropped counts the records that a full spool did not take, Refused
	// those that the sink would not take and that were set aside, Damaged those
	// that could not be read back from the spool, since the process started.
	Dropped, Refused, Damaged int64
	// Err is why the last delivery, or the last writing, failed; nil if it did not.
	Err error
}
