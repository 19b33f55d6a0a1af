package audit

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/cenkalti/backoff/v5"
)

const (
	// deliverTimeout bounds one attempt to deliver a batch.
	deliverTimeout = time.Minute
	// refusals is how often a sink may refuse a batch before it is set aside.
	refusals = 3
)

// Ship delivers to the sink until ctx ends, or the log is closed: this log's
// batches, in order, and what dead processes left in the same directory. While
// the sink is not available it tries again, at growing intervals of up to 30 s.
// What the sink refuses three times is set aside in the spool's directory,
// counted, and offered once more after the next start. Call it once.
func (l *Log) Ship(ctx context.Context, sink Sink) {
	l.mu.Lock()
	if l.closed {
		l.mu.Unlock()
		return
	}
	l.tasks.Add(1)
	l.mu.Unlock()
	defer l.tasks.Done()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() {
		select {
		case <-l.stop:
			cancel()
		case <-ctx.Done():
		}
	}()
	var both sync.WaitGroup
	both.Go(func() {
		(&shipper{log: l, spool: l.spool, sink: sink}).run(ctx, l.opts.BatchAge)
	})
	both.Go(func() { l.adopt(ctx, sink) })
	both.Wait()
}

// Flush returns when everything appended before the call has been delivered,
// or set aside. It does not deliver: Ship must be running.
func (l *Log) Flush(ctx context.Context) error {
	flushing := func(n int) {
		l.mu.Lock()
		l.flushing += n
		l.mu.Unlock()
	}
	flushing(1)
	defer flushing(-1)
	for l.drainAll() != nil {
		if !sleep(ctx, retryPause) {
			return ctx.Err()
		}
	}
	s := l.spool
	s.mu.Lock()
	last := s.open.n - 1
	if s.open.records > 0 {
		last++
		s.shutBatch()
	}
	for s.pos.batch < last {
		moved := s.moved
		s.mu.Unlock()
		select {
		case <-moved:
		case <-ctx.Done():
			return ctx.Err()
		}
		s.mu.Lock()
	}
	s.mu.Unlock()
	return nil
}

// adopt delivers what is in spools that nobody uses, at once and then now and again.
func (l *Log) adopt(ctx context.Context, sink Sink) {
	tick := time.NewTicker(l.opts.adoptEvery)
	defer tick.Stop()
	seen := map[string]bool{} // what they lost is counted
	for {
		names, err := spools(l.opts.Dir)
		if err != nil {
			l.opts.Logger.Error("the directory of audit spools cannot be read", "error", err)
		}
		for _, name := range names {
			if name == l.spool.writer || ctx.Err() != nil {
				continue
			}
			s, lost, err := openSpool(filepath.Join(l.opts.Dir, name), l.opts.Logger)
			if err != nil {
				l.opts.Logger.Error("an audit spool cannot be opened", "spool", name, "error", err)
			}
			if s == nil {
				continue
			}
			l.mu.Lock()
			l.adopted = s
			if !seen[name] {
				l.damaged += lost
			}
			l.mu.Unlock()
			h := shipper{log: l, spool: s, sink: sink, again: seen[name]}
			seen[name] = true
			if h.run(ctx, -1); ctx.Err() == nil {
				if err := s.remove(); err != nil {
					l.opts.Logger.Error("a delivered audit spool cannot be removed", "spool", name, "error", err)
				}
			}
			l.mu.Lock()
			l.adopted = nil
			l.mu.Unlock()
			s.release()
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// shipper delivers one spool.
type shipper struct {
	log   *Log
	spool *spool
	sink  Sink
	again bool // what was refused was offered since the start
	buf   []byte
	// ahead brings the batch that is read while another is delivered; nil if none is.
	ahead chan content
}

// content is what is in a batch.
type content struct {
	*batch
	list    []Record
	reached [len(codes)]uint64 // the highest seqs
}

// run delivers until ctx ends; with a negative age, until there is nothing left.
func (h *shipper) run(ctx context.Context, age time.Duration) {
	if !h.again {
		h.offerRefused(ctx)
	}
	defer func() {
		if h.ahead != nil {
			<-h.ahead
		}
	}()
	for ctx.Err() == nil {
		b, wait := h.spool.next(max(age, 0))
		if b != nil {
			began := time.Now()
			count, _ := h.log.count()
			h.ship(ctx, b)
			if age >= 0 {
				h.rest(ctx, time.Since(began), count)
			}
			continue
		}
		if age < 0 {
			return
		}
		var timer <-chan time.Time
		if wait > 0 {
			timer = time.After(wait)
		}
		select {
		case <-ctx.Done():
		case <-h.spool.wake:
		case <-timer:
		}
	}
}

const (
	// fast is from how many records a second on the shipper rests.
	fast = 2000
	// nap is how long it rests before it looks again whether it still should.
	nap = 200 * time.Millisecond
)

// rest waits after a delivery that took some time, during which the log grew
// from count; see LogOptions.Rest.
func (h *shipper) rest(ctx context.Context, took time.Duration, count uint64) {
	l := h.log
	for left := time.Duration(float64(took) * l.opts.Rest); left > 0; left -= nap {
		now, hurry := l.count()
		if hurry || float64(now-count) < fast*took.Seconds() || l.State().Bytes > l.opts.Limit/2 {
			return
		}
		count, took = now, min(left, nap)
		if !sleep(ctx, took) {
			return
		}
	}
}

// count returns how many records were taken so far, and whether a Flush waits.
func (l *Log) count() (n uint64, hurry bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, p := range l.heads {
		n += p.seq
	}
	return n, l.flushing > 0
}

// ship delivers a batch, or sets it aside, unless ctx ends first.
func (h *shipper) ship(ctx context.Context, b *batch) {
	s := h.spool
	// What the sink has must not be forgotten here: its places would be given
	// out a second time.
	if b.seg.ours {
		if err := b.seg.sync(ctx, b.to); err != nil && ctx.Err() == nil {
			s.logger.Error("the audit spool could not be brought to disk", "error", err)
		}
	}
	c := h.take(ctx, b)
	if ctx.Err() != nil {
		return
	}
	h.readAhead(ctx)
	if len(c.list) > 0 {
		err := h.deliver(ctx, b.n, c.list)
		if errors.Is(err, ErrRefused) {
			err = h.setAside(ctx, b, len(c.list), err)
		}
		if err != nil {
			return // ctx has ended
		}
	}
	s.done(b, &c.reached)
}

// take returns what is in a batch, which may have been read already.
func (h *shipper) take(ctx context.Context, b *batch) content {
	if h.ahead != nil {
		c := <-h.ahead
		h.ahead = nil
		if c.batch == b {
			return c
		}
	}
	return h.read(ctx, b)
}

// readAhead begins to read the batch after the one that is being delivered, so
// that with a backlog the sink does not wait for the spool.
func (h *shipper) readAhead(ctx context.Context) {
	b := h.spool.second()
	if b == nil {
		return
	}
	h.ahead = make(chan content, 1)
	go func(c chan<- content) { c <- h.read(ctx, b) }(h.ahead)
}

// read returns the records of a batch. What cannot be read is counted.
func (h *shipper) read(ctx context.Context, b *batch) content {
	if !h.load(ctx, b) {
		return content{}
	}
	records, reached, damaged := parseBatch(h.buf, h.spool.writer)
	if lost := b.records - len(records); lost > 0 {
		h.spool.logger.Error("audit records are lost: they cannot be read back from the spool", "batch", b.n, "records", lost)
		h.log.mu.Lock()
		h.log.damaged += int64(lost)
		h.log.mu.Unlock()
		damaged = true
	}
	if damaged {
		h.spool.mu.Lock()
		b.seg.damaged = true
		h.spool.mu.Unlock()
	}
	return content{b, records, reached}
}

// load brings the bytes of a batch into buf; it returns false if ctx ends before.
func (h *shipper) load(ctx context.Context, b *batch) bool {
	pause := h.newPause()
	for {
		buf, err := b.seg.read(h.buf, b.from, b.to)
		if err == nil {
			h.buf = buf
			return true
		}
		if os.IsNotExist(err) {
			h.buf = h.buf[:0]
			return true
		}
		h.failed(fmt.Errorf("reading the spool: %w", err))
		if !sleep(ctx, pause.NextBackOff()) {
			return false
		}
	}
}

// parseBatch returns the records in entries of a log.
func parseBatch(b []byte, writer string) (records []Record, reached [len(codes)]uint64, damaged bool) {
	var s scan
	s.run(b, func(f *frame, _, _ int) {
		f.walk(func(w written) {
			r := New(codes[w.code])
			if ParseBody(w.body, r) != nil {
				damaged = true
				return
			}
			r.Meta().Link = Link{writer, w.seq, w.hash}
			records = append(records, r)
			reached[w.code] = max(reached[w.code], w.seq)
		})
	})
	return records, reached, damaged || s.damaged
}

// deliver returns nil, an error that wraps ErrRefused, or that of ctx.
func (h *shipper) deliver(ctx context.Context, n uint64, records []Record) error {
	id := h.spool.writer + "-" + strconv.FormatUint(n, 10)
	pause := h.newPause()
	for refused := 0; ; {
		attempt, cancel := context.WithTimeout(ctx, deliverTimeout)
		// The slice is the sink's to order as it likes.
		err := h.sink.Deliver(attempt, Batch{ID: id, Records: slices.Clone(records)})
		cancel()
		if err == nil {
			h.failed(nil)
			return nil
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		h.failed(fmt.Errorf("delivering batch %s: %w", id, err))
		if errors.Is(err, ErrRefused) {
			if refused++; refused == refusals {
				return err
			}
		}
		if !sleep(ctx, pause.NextBackOff()) {
			return ctx.Err()
		}
	}
}

// failed notes why the last delivery failed, nil if it did not.
func (h *shipper) failed(err error) {
	l := h.log
	l.mu.Lock()
	before := l.sendErr
	l.sendErr = err
	l.mu.Unlock()
	switch {
	case err != nil && before == nil:
		h.spool.logger.Warn("audit records cannot be delivered", "error", err)
	case err == nil && before != nil:
		h.spool.logger.Info("audit records are delivered again")
	}
}

// setAside keeps a batch that the sink refuses.
func (h *shipper) setAside(ctx context.Context, b *batch, records int, why error) error {
	if h.ahead != nil {
		// It uses the same buffer, and will be read again.
		<-h.ahead
		h.ahead = nil
	}
	if !h.load(ctx, b) {
		return ctx.Err()
	}
	pause := h.newPause()
	name := h.spool.refusedName(b.n)
	for {
		size, err := writeWhole(name, h.buf)
		h.spool.bytes.Add(size)
		if err == nil {
			break
		}
		h.failed(fmt.Errorf("setting a refused batch aside: %w", err))
		if !sleep(ctx, pause.NextBackOff()) {
			return ctx.Err()
		}
	}
	h.countRefused(records, name, why)
	return nil
}

func (h *shipper) countRefused(records int, name string, why error) {
	h.spool.logger.Error("audit records are set aside: the sink refuses them", "records", records, "file", name, "error", why)
	h.log.mu.Lock()
	h.log.refused += int64(records)
	h.log.mu.Unlock()
}

// offerRefused tries again to deliver what was set aside.
func (h *shipper) offerRefused(ctx context.Context) {
	names, err := filepath.Glob(filepath.Join(h.spool.dir, refusedPrefix+"*"))
	if err != nil {
		return // the pattern is well-formed
	}
	for _, name := range names {
		_, digits, _ := strings.Cut(filepath.Base(name), refusedPrefix)
		n, err := strconv.ParseUint(digits, 10, 64)
		if err != nil {
			continue
		}
		if h.buf, err = readAll(name, h.buf); err != nil {
			h.spool.logger.Error("a refused batch cannot be read", "file", name, "error", err)
			continue
		}
		size := int64(len(h.buf))
		records, _, damaged := parseBatch(h.buf, h.spool.writer)
		if len(records) > 0 {
			err = h.deliver(ctx, n, records)
		}
		switch {
		case errors.Is(err, ErrRefused):
			h.countRefused(len(records), name, err)
		case err != nil:
			return // ctx has ended
		case damaged:
			h.spool.logger.Error("a refused batch is damaged: what is intact of it is delivered", "file", name, "records", len(records))
			_ = os.Rename(name, filepath.Join(h.spool.dir, damagedPrefix+filepath.Base(name)))
		default:
			if err := os.Remove(name); err != nil {
				h.spool.logger.Error("a delivered batch cannot be removed", "file", name, "error", err)
			} else {
				h.spool.bytes.Add(-size)
			}
		}
	}
}

// writeWhole writes a file, which is there whole and on disk or not at all,
// and returns by how much it has grown.
func writeWhole(name string, b []byte) (int64, error) {
	if old, err := os.ReadFile(name); err == nil && bytes.Equal(old, b) {
		return 0, nil // set aside before, and not yet forgotten
	}
	tmp := name + ".tmp"
	defer os.Remove(tmp)
	f, err := os.OpenFile(tmp, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return 0, err
	}
	_, err = f.Write(b)
	err = errors.Join(err, f.Sync(), f.Close())
	if err != nil {
		return 0, err
	}
	if err := os.Rename(tmp, name); err != nil {
		return 0, err
	}
	return int64(len(b)), syncDir(filepath.Dir(name))
}

func (h *shipper) newPause() *backoff.ExponentialBackOff {
	b := backoff.NewExponentialBackOff()
	b.InitialInterval, b.MaxInterval = min(100*time.Millisecond, h.log.opts.maxPause), h.log.opts.maxPause
	return b
}

// sleep returns false if ctx ends before.
func sleep(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}
