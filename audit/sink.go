package audit

import (
	"context"
	"errors"
	"time"
)

// Sink keeps records for as long as they are to be kept, and answers
// questions about them. Engines: sqliteaudit, clickhouseaudit; audittest is
// the suite that both pass.
//
// All methods may be called concurrently. Opening a sink does not need its
// server: the first call that reaches it prepares the tables. Errors wrap
// ErrUnavailable where trying again later may help (also when the outcome is
// open), ErrRefused where it will not, the context's error where that ended.
type Sink interface {
	// Deliver stores the batch. A batch with an ID that was delivered before
	// has no effect, whole or in the part that is missing: after an error the
	// same batch may be delivered again, and counts once, everywhere.
	Deliver(ctx context.Context, b Batch) error
	// Sweep removes what is older than the retention, as far as the engine
	// does not do that by itself, in steps that hold nobody up, and returns how many records.
	Sweep(ctx context.Context, now time.Time) (int, error)
	Reader
	// Close waits for calls under way and releases everything. Twice is no error.
	Close() error
}

// Batch is what is delivered at once: records of any streams, of one writer.
type Batch struct {
	// ID is that of exactly this content: of 1 to 200 characters a-z 0-9 _ - .
	ID string
	// Records are linked, in the order of the chain.
	Records []Record
}

var (
	// ErrUnavailable says that the sink cannot be reached, or not now.
	ErrUnavailable = errors.New("audit: the sink is not available")
	// ErrRefused says that the sink will not take this batch, or answer this question, however often it is asked.
	ErrRefused = errors.New("audit: the sink refuses")
)

// Retention is for how long the records of a stream are kept; 0 is for ever.
// Rollups are kept for two years, or as long as their stream if that is longer.
type Retention map[Stream]time.Duration

// Day is what retentions are counted in.
const Day = 24 * time.Hour

// DefaultRetention is what design and documentation say.
func DefaultRetention() Retention {
	return Retention{Events: 730 * Day, Decisions: 90 * Day, Requests: 365 * Day, Mails: 365 * Day, Factors: 365 * Day, Limits: 365 * Day}
}

// Reader answers questions about what was delivered.
type Reader interface {
	// Find calls yield with every record that matches, in the order of
	// Query, until there are Limit. The record is the callee's to keep. It
	// stops at the first error of yield and returns it. Nothing is held in
	// memory whole, so that a query without limit can be an export.
	Find(ctx context.Context, q Query, yield func(Record) error) error
	// Stats counts records by time and by a dimension.
	Stats(ctx context.Context, q StatsQuery) ([]Bucket, error)
	// LastUsed returns when each of the API keys was last used; those never
	// used are absent. At most 1,000 keys.
	LastUsed(ctx context.Context, keys []string) (map[string]time.Time, error)
	// Writers returns the last record of each writer in the stream, by the name of the writer.
	Writers(ctx context.Context, s Stream) ([]Record, error)
	// Follow calls yield with every record of the writer in the stream whose
	// Seq is above after, in order of Seq.
	Follow(ctx context.Context, s Stream, writer string, after uint64, yield func(Record) error) error
	// Misfiled calls yield with the head of every record that Find may show
	// otherwise than Follow does, or not at all, because the engine keeps it
	// once more to find it faster; up to limit of them. Records that are just
	// being delivered or removed do not count.
	Misfiled(ctx context.Context, s Stream, limit int, yield func(Head) error) error
}
