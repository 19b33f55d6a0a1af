package audit

import (
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"
)

// LogOptions tell how a Log works. Dir and Secret are required.
type LogOptions struct {
	// Dir is the base directory of spools; it is made if it is absent. Several
	// processes may share it.
	Dir string
	// Secret is that of the chain, of 32 bytes or more.
	Secret []byte
	// Limit is how many bytes the spool may take on disk; 1 GiB if 0.
	Limit int64
	// BatchSize is how many records a batch has at most; 10,000 if 0.
	BatchSize int
	// BatchAge is how long after its first record a batch is delivered at the
	// latest, while the sink is there; 1 s if 0.
	BatchAge time.Duration
	// SyncEvery is how often what did not ask for it is brought to disk; 1 s if 0.
	SyncEvery time.Duration
	// Rest is for a sink that works in this process: while records come in fast,
	// the shipper rests after each delivery for that many times as long as it
	// took, so that delivering does not take the processors from those who are
	// recorded. It does not rest when half of the limit is used, nor during a Flush. 0 is never.
	Rest float64
	// Now is the clock of records without a time; time.Now if nil.
	Now func() time.Time
	// Logger is told of failures and losses; slog.Default() if nil.
	Logger *slog.Logger

	// adoptEvery is how often other processes' spools are looked for.
	adoptEvery time.Duration
	// segment is how many bytes a segment has before the next one is begun.
	segment int64
	// maxPause is how long Ship waits at most before it tries again.
	maxPause time.Duration
}

var errClosed = errors.New("audit: the log is closed")

// Log takes records and keeps them on disk until a sink has them. What it took
// is delivered once, in order, whatever dies in between.
//
// All methods may be called concurrently.
type Log struct {
	opts  LogOptions
	spool *spool // our own

	// mu guards what follows. It is held while records are linked and put down,
	// never while anything is written to a file.
	mu        sync.Mutex
	chain     *Chain
	heads     places        // of all records taken, also those not written to the spool yet
	current   *lap          // being filled
	draining  *lap          // full, or being written; nil if there is none
	free      [][]byte      // fronts
	spare     []byte        // the memory of a lap without one
	frontless bool          // the fronts were given up
	unsynced  []*lap        // written, and waited for until they are on disk
	room      chan struct{} // closed when draining is written; nil if nobody waits
	waiting   int           // callers of Append that wait for anything
	alone     chan struct{} // closed when a closed log has nobody waiting
	closed    bool
	failure   error // of the last write, nil if it did not fail
	sendErr   error // of the last delivery
	dropped   int64
	damaged   int64
	refused   int64
	adopted   *spool // being shipped
	flushing  int    // calls of Flush

	drain sync.Mutex // held by who writes to the spool
	// Signals, with room for one.
	begun   chan struct{} // the first record of a lap is there
	hurry   chan struct{} // there is much to write, or somebody waits
	written chan struct{} // look at unsynced
	stop    chan struct{} // closed by Close
	tasks   sync.WaitGroup
}

// OpenLog opens the log: it goes on with a spool in the directory that no
// living process uses, or makes a new one. What is found there is delivered too.
func OpenLog(o LogOptions) (*Log, error) {
	if len(o.Secret) < 32 {
		return nil, errors.New("audit: the chain's secret is shorter than 32 bytes")
	}
	o.setDefaults()
	s, lost, err := takeSpool(o.Dir, o.Logger)
	if err != nil {
		return nil, fmt.Errorf("audit: opening the spool: %w", err)
	}
	l := &Log{opts: o, spool: s, chain: NewChain(o.Secret), heads: s.heads, damaged: lost, free: s.fronts,
		begun: make(chan struct{}, 1), hurry: make(chan struct{}, 1), written: make(chan struct{}, 1), stop: make(chan struct{})}
	l.current = l.newLap(0)
	l.tasks.Go(l.drainNowAndThen)
	l.tasks.Go(l.syncNowAndThen)
	return l, nil
}

func (o *LogOptions) setDefaults() {
	if o.Limit == 0 {
		o.Limit = 1 << 30
	}
	if o.BatchSize == 0 {
		o.BatchSize = 10_000
	}
	if o.BatchAge == 0 {
		o.BatchAge = time.Second
	}
	if o.SyncEvery == 0 {
		o.SyncEvery = time.Second
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	if o.adoptEvery == 0 {
		o.adoptEvery = time.Minute
	}
	if o.maxPause == 0 {
		o.maxPause = 30 * time.Second
	}
	if o.segment == 0 {
		// Space comes back by whole segments, so a small spool has small ones.
		o.segment = max(64<<10, min(8<<20, o.Limit/16))
	}
}

// Writer returns the name under which the log writes now.
func (l *Log) Writer() string { return l.spool.writer }

// Heads returns the last link of each stream that this writer has begun.
func (l *Log) Heads() map[Stream]Link {
	l.mu.Lock()
	defer l.mu.Unlock()
	m := map[Stream]Link{}
	for code, p := range l.heads {
		if p.seq > 0 {
			m[codes[code]] = Link{l.spool.writer, p.seq, p.hash}
		}
	}
	return m
}

// State tells how far behind the sink is, and what was lost.
func (l *Log) State() State {
	l.mu.Lock()
	defer l.mu.Unlock()
	st := State{Limit: l.opts.Limit, Dropped: l.dropped, Refused: l.refused, Damaged: l.damaged, Err: l.sendErr}
	if l.failure != nil {
		st.Err = l.failure
	}
	own := []*lap{l.draining, l.current}
	for i, s := range []*spool{l.spool, l.adopted} {
		if s == nil {
			continue
		}
		if i > 0 {
			own = nil
		}
		records, oldest, bytes := s.backlog(own)
		st.Backlog += records
		st.Bytes += bytes
		if !oldest.IsZero() && (st.Oldest.IsZero() || oldest.Before(st.Oldest)) {
			st.Oldest = oldest
		}
	}
	return st
}

// Close waits for appends under way and for Ship, which it ends, and brings
// everything to disk. What is not delivered stays for the next process. Twice is no error.
func (l *Log) Close() error {
	l.mu.Lock()
	if l.closed {
		l.mu.Unlock()
		l.tasks.Wait()
		return nil
	}
	l.closed, l.alone = true, make(chan struct{})
	if l.waiting == 0 {
		close(l.alone)
	}
	l.mu.Unlock()
	<-l.alone
	close(l.stop)
	l.tasks.Wait()
	err := l.drainAll() // what cannot be written now stays in the fronts
	return errors.Join(err, l.spool.close())
}
