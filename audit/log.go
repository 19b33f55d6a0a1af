package audit

import (
	"context"
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
	// Now is the clock of records without a time; time.Now if nil.
	Now func() time.Time
	// Logger is told of failures and losses; slog.Default() if nil.
	Logger *slog.Logger

	// adoptEvery is how often other processes' spools are looked for.
	adoptEvery time.Duration
	// segment is how many bytes a segment has before the next one is begun.
	segment int64
}

// What limits memory and single writes.
const (
	// maxGroup is how many bytes are gathered while a write is under way;
	// who brings more waits.
	maxGroup = 1 << 20
	// maxBatch is from how many bytes on a batch is complete.
	maxBatch = 4 << 20
	// retryPause is how long after a failed write nothing is written.
	retryPause = 100 * time.Millisecond
)

var errClosed = errors.New("audit: the log is closed")

// Log takes records and keeps them on disk until a sink has them. What it took
// is delivered once, in order, whatever dies in between.
//
// All methods may be called concurrently.
type Log struct {
	opts  LogOptions
	spool *spool // our own

	mu      sync.Mutex
	leading bool   // a caller is writing, and will look at pending
	pending *group // gathered while leading
	spare   *buffers
	closed  bool
	idle    chan struct{} // closed when a closed Log has written everything
	dropped int64
	damaged int64
	refused int64
	adopted *spool // being shipped
	sendErr error  // of the last delivery

	// The following belong to who is leading.
	chain   *Chain
	out     []byte // the frame
	failed  time.Time
	failure error

	writeErr error // of the last write; guarded by mu

	stop  chan struct{} // closed by Close
	tasks sync.WaitGroup
}

// OpenLog opens the log: it goes on with a spool in the directory that no
// living process uses, or makes a new one. What is found there is delivered too.
func OpenLog(o LogOptions) (*Log, error) {
	if len(o.Secret) < 32 {
		return nil, errors.New("audit: the chain's secret is shorter than 32 bytes")
	}
	o.setDefaults()
	l := &Log{opts: o, chain: NewChain(o.Secret), stop: make(chan struct{})}
	s, lost, err := takeSpool(o.Dir, o.Logger)
	if err != nil {
		return nil, fmt.Errorf("audit: opening the spool: %w", err)
	}
	l.spool, l.damaged = s, lost
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
	if o.segment == 0 {
		// Space comes back by whole segments, so a small spool has small ones.
		o.segment = max(64<<10, min(8<<20, o.Limit/16))
	}
}

// Writer returns the name under which the log writes now.
func (l *Log) Writer() string { return l.spool.writer }

// Heads returns the last link of each stream that this writer has begun.
func (l *Log) Heads() map[Stream]Link {
	l.spool.mu.Lock()
	defer l.spool.mu.Unlock()
	m := map[Stream]Link{}
	for code, p := range l.spool.heads {
		if p.seq > 0 {
			m[codes[code]] = Link{l.spool.writer, p.seq, p.hash}
		}
	}
	return m
}

// State tells how far behind the sink is, and what was lost.
func (l *Log) State() State {
	l.mu.Lock()
	adopted := l.adopted
	st := State{Limit: l.opts.Limit, Dropped: l.dropped, Refused: l.refused, Damaged: l.damaged, Err: l.sendErr}
	if l.writeErr != nil {
		st.Err = l.writeErr
	}
	l.mu.Unlock()
	for _, s := range []*spool{l.spool, adopted} {
		if s == nil {
			continue
		}
		records, oldest, bytes := s.backlog()
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
	l.closed, l.idle = true, make(chan struct{})
	if !l.leading {
		close(l.idle)
	}
	l.mu.Unlock()
	<-l.idle
	close(l.stop)
	l.tasks.Wait()
	return l.spool.close()
}

// syncNowAndThen brings to disk what did not ask for it.
func (l *Log) syncNowAndThen() {
	tick := time.NewTicker(l.opts.SyncEvery)
	defer tick.Stop()
	for {
		select {
		case <-l.stop:
			return
		case <-tick.C:
		}
		if err := l.spool.sync(); err != nil {
			l.opts.Logger.Error("the audit spool could not be brought to disk", "error", err)
		}
	}
}

// Append records. It returns when the level is reached; it does not wait for
// the sink. It sets the Head of the records, which belong to the log from then on.
//
// Text that is not UTF-8 is made so, and what is too long is cut: text at
// 4 KiB, Before and After at 1 MiB, lists at 64 items. A zero Time becomes now.
//
// A full spool is ErrFull, but for Notes, which are dropped and counted from nine
// tenths of the limit on. If ctx ends while Append waits, its error is returned,
// but what was queued is written all the same. Otherwise ctx has no effect.
func (l *Log) Append(ctx context.Context, level Level, rs ...Record) error {
	e := encoders.Get().(*recorder)
	defer e.free()
	for len(rs) > 0 {
		n, err := e.record(rs, l.opts.BatchSize, l.opts.Now)
		if err != nil {
			return err
		}
		switch err := l.append(ctx, level, e); {
		case errors.Is(err, ErrFull) && level == Note:
			l.mu.Lock()
			l.dropped += int64(n)
			l.mu.Unlock()
		case err != nil:
			return err
		}
		rs = rs[n:]
	}
	return nil
}

// group is what one write takes: the records of callers that came while the
// one before was under way.
type group struct {
	*buffers
	done chan struct{} // closed when it is written; nil if its leader is alone
	lead chan struct{} // tells one of the waiting to write it
	// The outcome.
	err error
	seg *segment
	end int64
}

// buffers are the memory of a group.
type buffers struct {
	bodies []byte
	items  []item
}

// item is a record of a group: its body is bodies[from:to].
type item struct {
	r        Record
	code     byte
	from, to int
}

// append queues what e has encoded and waits for it to be written.
func (l *Log) append(ctx context.Context, level Level, e *recorder) error {
	l.mu.Lock()
	for {
		if l.closed {
			l.mu.Unlock()
			return errClosed
		}
		if l.full(level) {
			l.mu.Unlock()
			return ErrFull
		}
		g := l.pending
		if g == nil || len(g.bodies) < maxGroup && len(g.items)+len(e.items) <= l.opts.BatchSize {
			break
		}
		l.mu.Unlock()
		select {
		case <-g.done:
		case <-ctx.Done():
			return ctx.Err()
		}
		l.mu.Lock()
	}
	var g *group
	if !l.leading {
		// Nobody is writing: this caller does, without waiting for anyone.
		l.leading = true
		g = l.newGroup()
		e.moveTo(g)
		l.mu.Unlock()
		l.lead(g)
	} else {
		if l.pending == nil {
			l.pending = l.newGroup()
			l.pending.done, l.pending.lead = make(chan struct{}), make(chan struct{}, 1)
		}
		g = l.pending
		e.moveTo(g)
		l.mu.Unlock()
		select {
		case <-g.done:
		case <-g.lead:
			l.takeOver(g)
		case <-ctx.Done():
			go l.stay(g)
			return ctx.Err()
		}
	}
	if g.err != nil || level != Sync {
		return g.err
	}
	if err := g.seg.sync(ctx, g.end); err != nil {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		return fmt.Errorf("%w: %w", ErrFull, err)
	}
	return nil
}

// stay does what a caller that left would have had to do.
func (l *Log) stay(g *group) {
	select {
	case <-g.done:
	case <-g.lead:
		l.takeOver(g)
	}
}

func (l *Log) takeOver(g *group) {
	l.mu.Lock()
	l.pending = nil
	l.mu.Unlock()
	l.lead(g)
}

func (l *Log) newGroup() *group {
	b := l.spare
	l.spare = nil
	if b == nil {
		b = &buffers{}
	}
	return &group{buffers: b}
}

// full tells whether there is no room for the level. The caller holds mu.
func (l *Log) full(level Level) bool {
	used := l.spool.bytes.Load()
	if l.pending != nil {
		used += int64(len(l.pending.bodies))
	}
	if level == Note {
		return used >= l.opts.Limit/10*9
	}
	return used >= l.opts.Limit
}

// lead writes a group and gives way to the next one.
func (l *Log) lead(g *group) {
	g.seg, g.end, g.err = l.write(g)
	b := g.buffers
	g.buffers = nil
	b.bodies = b.bodies[:0]
	clear(b.items)
	b.items = b.items[:0]

	l.mu.Lock()
	l.writeErr = l.failure
	if cap(b.bodies) <= 2*maxGroup {
		l.spare = b
	}
	switch {
	case l.pending != nil:
		l.pending.lead <- struct{}{}
	default:
		l.leading = false
		if l.closed {
			close(l.idle)
		}
	}
	l.mu.Unlock()
	if g.done != nil {
		close(g.done)
	}
}

// write links the records of a group to their chains and writes them. Either
// all of them are written, or none, and the chains stay where they were.
func (l *Log) write(g *group) (*segment, int64, error) {
	s := l.spool
	if l.failure != nil && time.Since(l.failed) < retryPause {
		return nil, 0, fmt.Errorf("%w: %w", ErrFull, l.failure)
	}
	heads, batch := s.begin(len(g.items), l.opts.BatchSize)
	after := heads
	for i := range g.items {
		after[g.items[i].code].seq++
	}
	b := appendFrameHead(l.out[:0], &after)
	head := len(b)
	after = heads
	for i := range g.items {
		it := &g.items[i]
		p := &after[it.code]
		h := it.r.Meta()
		body := g.bodies[it.from:it.to]
		h.Writer, h.Seq = s.writer, p.seq+1
		p.hash = l.chain.link(p.hash, codes[it.code], s.writer, h.Seq, body)
		p.seq, h.Hash = h.Seq, p.hash
		b = appendRecord(b, it.code, *p, body)
	}
	sealFrame(b, head, batch, &after)
	if l.out = b; cap(b) > 4*maxGroup {
		l.out = nil
	}
	seg, end, err := s.write(b, &after, len(g.items), g.items[0].r.Meta().Time, &l.opts)
	if err != nil {
		if l.failure == nil {
			l.opts.Logger.Error("the audit spool cannot be written to", "error", err)
		}
		l.failed, l.failure = time.Now(), err
		return nil, 0, fmt.Errorf("%w: %w", ErrFull, err)
	}
	if l.failure != nil {
		l.failure = nil
		l.opts.Logger.Info("the audit spool can be written to again")
	}
	return seg, end, nil
}
