package audit

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"time"
)

const (
	// maxChunk is from how many bytes on the records of one call are put down in parts.
	maxChunk = 256 << 10
	// drainEvery is how long after its first record a lap is written at the latest.
	drainEvery = 50 * time.Millisecond
	// retryPause is how long after a failed write the next one is tried.
	retryPause = 100 * time.Millisecond
)

// lap is what is gathered in memory and then written to the spool as one frame.
// Mostly its memory is a front, a file mapped into the process: what has been
// put there outlives it, so that callers need not wait for the writing.
type lap struct {
	buf     []byte // room for the head of the frame, then records
	front   bool   // buf outlives the process
	items   int
	oldest  time.Time // the time of the first record
	heads   places    // where the chains stand after it; set when it is full
	counted bool      // as a part of the spool; guarded by that's mu
	// Who waits until it is written, and until that is on disk; nil if nobody does. Guarded by the log's mu.
	written, synced *wait
	// Set when it has been written: where.
	seg *segment
	end int64
}

// wait is for callers that wait for the same thing.
type wait struct {
	done chan struct{}
	err  error // set before done is closed
}

// join returns a wait, making it if there is none.
func join(w **wait) *wait {
	if *w == nil {
		*w = &wait{done: make(chan struct{})}
	}
	return *w
}

// end lets go those who wait.
func (w *wait) end(err error) {
	if w != nil {
		w.err = err
		close(w.done)
	}
}

// Append records. It returns when the level is reached; it does not wait for
// the sink. It sets the Head of the records, which belong to the log from then on.
//
// Text that is not UTF-8 is made so, and what is too long is cut: text at
// 4 KiB, Before and After at 1 MiB, lists at 64 items. A zero Time becomes now.
//
// A spool that is full, or cannot be written to, is ErrFull, but for Notes, which
// are dropped and counted, from nine tenths of the limit on. If ctx ends while Append waits for
// room, its error is returned and the records are not taken; if it ends while
// Append waits for the disk, they are taken all the same. Otherwise ctx has no effect.
// Likewise records that were to be synced may be delivered although the disk failed.
func (l *Log) Append(ctx context.Context, level Level, rs ...Record) error {
	e := recorders.Get().(*recorder)
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

// append puts down what e has encoded.
func (l *Log) append(ctx context.Context, level Level, e *recorder) error {
	l.mu.Lock()
	lp, err := l.place(ctx, level, e)
	if err != nil {
		l.mu.Unlock()
		return err
	}
	first := lp.items == 0
	if !l.put(lp, e) {
		l.mu.Unlock()
		// The file of the front is gone, or its disk: do without.
		return l.append(ctx, level, e)
	}
	much := len(lp.buf) > cap(lp.buf)/2
	var w *wait
	switch {
	case level == Sync:
		w = join(&lp.synced)
	case !lp.front:
		w = join(&lp.written)
	}
	if w != nil {
		l.waiting++
	}
	l.mu.Unlock()
	switch {
	case much || w != nil:
		signal(l.hurry)
	case first:
		signal(l.begun)
	}
	if w == nil {
		return nil
	}
	defer l.leave()
	select {
	case <-w.done:
	case <-ctx.Done():
		return ctx.Err()
	}
	if w.err != nil {
		return fmt.Errorf("%w: %w", ErrFull, w.err)
	}
	return nil
}

func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// leave ends a wait.
func (l *Log) leave() {
	l.mu.Lock()
	l.left()
	l.mu.Unlock()
}

// left ends a wait; the caller holds mu.
func (l *Log) left() {
	l.waiting--
	if l.closed && l.waiting == 0 {
		close(l.alone)
	}
}

// place returns the lap that takes what e has, waiting for one if need be. The
// caller holds mu, which is given up while it waits.
func (l *Log) place(ctx context.Context, level Level, e *recorder) (*lap, error) {
	size := len(e.e.b) + len(e.items)*recordRoom
	for {
		switch {
		case l.closed:
			return nil, errClosed
		case l.failure != nil:
			return nil, fmt.Errorf("%w: %w", ErrFull, l.failure)
		case l.full(level):
			return nil, ErrFull
		}
		lp := l.current
		if lp.items+len(e.items) <= l.opts.BatchSize && len(lp.buf)+size <= cap(lp.buf) {
			return lp, nil
		}
		if l.draining == nil {
			l.turn(size)
			signal(l.hurry)
			return l.current, nil
		}
		if l.room == nil {
			l.room = make(chan struct{})
		}
		room := l.room
		l.waiting++
		l.mu.Unlock()
		var err error
		select {
		case <-room:
		case <-ctx.Done():
			err = ctx.Err()
		}
		l.mu.Lock()
		l.left()
		if err != nil {
			return nil, err
		}
	}
}

// full tells whether the spool has no room for the level. The caller holds mu.
func (l *Log) full(level Level) bool {
	used := l.spool.bytes.Load() + int64(len(l.current.buf))
	if l.draining != nil {
		used += int64(len(l.draining.buf))
	}
	if level == Note {
		return used >= l.opts.Limit/10*9
	}
	return used >= l.opts.Limit
}

// turn begins a new lap with room for so many bytes, and leaves the one before
// to be written. The caller holds mu; nothing is being drained.
func (l *Log) turn(size int) {
	lp := l.current
	l.current = l.newLap(size)
	if lp.items > 0 {
		lp.heads = l.heads
		l.draining = lp
	} else {
		l.release(lp)
	}
}

// newLap returns one in a front, if one is free and large enough.
func (l *Log) newLap(size int) *lap {
	size += headRoom
	if n := len(l.free); n > 0 && size <= cap(l.free[n-1]) {
		lp := &lap{buf: l.free[n-1][:headRoom], front: true}
		l.free = l.free[:n-1]
		return lp
	}
	if b := l.spare; size <= cap(b) {
		l.spare = nil
		return &lap{buf: b[:headRoom]}
	}
	return &lap{buf: make([]byte, headRoom, max(size, frontSize))}
}

func (l *Log) release(lp *lap) {
	if lp.front {
		if !l.frontless {
			l.free = append(l.free, lp.buf[:0])
		}
	} else if cap(lp.buf) == frontSize {
		l.spare = lp.buf[:0]
	}
}

// put links what e has to the chains and puts it into the lap. It returns
// false, with nothing taken, if the memory of a front cannot be written to: its
// file was cut, or its disk failed. The caller holds mu.
func (l *Log) put(lp *lap, e *recorder) bool {
	if lp.front {
		defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
		taken := false
		defer func() {
			if !taken {
				onlyFaults(recover())
				l.giveUpFronts()
			}
		}()
		l.link(lp, e)
		taken = true
		return true
	}
	l.link(lp, e)
	return true
}

func (l *Log) link(lp *lap, e *recorder) {
	heads, b := l.heads, lp.buf
	for i := range e.items {
		it := &e.items[i]
		p, h := &heads[it.code], it.r.Meta()
		body := e.e.b[it.from:it.to]
		h.Writer, h.Seq = l.spool.writer, p.seq+1
		h.Hash = l.chain.link(p.hash, codes[it.code], h.Writer, h.Seq, body)
		*p = place{h.Seq, h.Hash}
		b = appendRecord(b, it.code, *p, body)
	}
	if lp.items == 0 {
		lp.oldest = e.items[0].r.Meta().Time
	}
	lp.buf = b
	lp.items += len(e.items)
	l.heads = heads
}

// giveUpFronts goes on without them. The caller holds mu.
func (l *Log) giveUpFronts() {
	l.opts.Logger.Error("the front of the audit spool is gone: every record is written at once from now on")
	l.free, l.frontless = nil, true
	lp := l.current
	if !lp.front {
		return
	}
	// What it had is to be written, if it can still be read.
	buf := make([]byte, len(lp.buf), frontSize)
	if guarded(func() { copy(buf, lp.buf) }) {
		lp.buf, lp.front = buf, false
		return
	}
	l.lose(lp)
	l.current = l.newLap(0)
}

// lose counts the records of a lap that cannot be read any more. The caller holds mu.
func (l *Log) lose(lp *lap) {
	if lp.items > 0 {
		l.opts.Logger.Error("audit records are lost with the front of the spool", "records", lp.items)
		l.damaged += int64(lp.items)
	}
	lp.written.end(errFront)
	lp.synced.end(errFront)
}

var errFront = errors.New("audit: the front of the spool is gone")

// guarded calls f and returns whether it could access the memory it wants to.
func guarded(f func()) (ok bool) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if !ok {
			onlyFaults(recover())
		}
	}()
	f()
	return true
}

// onlyFaults panics again unless it was memory that could not be accessed.
func onlyFaults(p any) {
	if _, ok := p.(interface{ Addr() uintptr }); !ok {
		panic(p)
	}
}

// touch tells whether memory can be read, and the head of it written.
func touch(b []byte) bool {
	return guarded(func() {
		b[0] = 0
		for i := 0; i < len(b); i += 4096 {
			b[0] ^= b[i]
		}
	})
}

// drainAll writes everything taken so far to the spool.
func (l *Log) drainAll() error {
	l.drain.Lock()
	defer l.drain.Unlock()
	for range 2 { // what is being drained, and what is current
		if some, err := l.drainLap(); !some || err != nil {
			return err
		}
	}
	return nil
}

// drainLap writes the oldest lap to the spool; it returns whether there was
// one. The caller holds drain.
func (l *Log) drainLap() (bool, error) {
	l.mu.Lock()
	if l.draining == nil && l.current.items > 0 {
		l.turn(0)
	}
	lp := l.draining
	front := lp != nil && lp.front
	l.mu.Unlock()
	if lp == nil {
		return false, nil
	}
	var seg *segment
	var end int64
	var err error
	there := !front || touch(lp.buf)
	if there {
		seg, end, err = l.spool.append(lp, &l.opts)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if !there {
		l.giveUpFronts()
		l.lose(lp)
		l.draining = nil
	} else if err != nil {
		if l.failure == nil {
			l.opts.Logger.Error("the audit spool cannot be written to", "error", err)
		}
		l.failure = err
		// It stays, to be tried again, but nobody waits for that.
		lp.written.end(err)
		lp.synced.end(err)
		lp.written, lp.synced = nil, nil
	} else {
		if l.failure != nil {
			l.opts.Logger.Info("the audit spool can be written to again")
		}
		l.failure = nil
		lp.seg, lp.end = seg, end
		lp.written.end(nil)
		if lp.synced != nil {
			l.unsynced = append(l.unsynced, lp)
			signal(l.written)
		}
		l.draining = nil
		l.release(lp)
	}
	if l.room != nil {
		close(l.room)
		l.room = nil
	}
	return true, err
}

// drainNowAndThen writes what callers do not wait for.
func (l *Log) drainNowAndThen() {
	every := min(drainEvery, l.opts.BatchAge/2)
	timer := time.NewTimer(every)
	defer timer.Stop()
	running := true // it may find that there is nothing
	for {
		select {
		case <-l.stop:
			return
		case <-l.begun:
			if !running {
				timer.Reset(every)
				running = true
			}
			continue
		case <-l.hurry:
		case <-timer.C:
			running = false
		}
		if l.drainAll() != nil {
			timer.Reset(retryPause)
			running = true
		}
	}
}

// syncNowAndThen brings to disk what callers wait for, at once, and now and then the rest.
func (l *Log) syncNowAndThen() {
	tick := time.NewTicker(l.opts.SyncEvery)
	defer tick.Stop()
	for {
		select {
		case <-l.stop:
			return
		case <-l.written:
			l.mu.Lock()
			laps := l.unsynced
			l.unsynced = nil
			l.mu.Unlock()
			for _, lp := range laps {
				// Mostly the first has brought the others along.
				lp.synced.end(lp.seg.sync(noContext, lp.end))
			}
		case <-tick.C:
			_ = l.drainAll() // it was reported
			if err := l.spool.sync(); err != nil {
				l.opts.Logger.Error("the audit spool could not be brought to disk", "error", err)
			}
		}
	}
}
