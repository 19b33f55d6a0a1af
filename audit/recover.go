package audit

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

var noContext = context.Background()

// openSpool takes a spool that was left, and finds what is intact in it. It
// returns how many records are known to be missing; nil if somebody uses the spool.
func openSpool(dir string, logger *slog.Logger) (s *spool, lost int64, err error) {
	lock, err := lockSpool(dir)
	if lock == nil {
		return nil, 0, err
	}
	s = makeSpool(dir, lock, logger)
	defer func() {
		if err != nil {
			s.release()
			s = nil
		}
	}()
	pos, known := readPosition(filepath.Join(dir, positionFile))
	s.posFile, err = os.OpenFile(filepath.Join(dir, positionFile), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return s, 0, err
	}
	s.pos = pos
	f := finder{spool: s, known: known}
	if lost, err = f.find(); err != nil {
		return s, 0, err
	}
	s.discount() // nobody else has it yet
	return s, lost, nil
}

// finder reads what is in a spool.
type finder struct {
	*spool
	known bool // the position could be read
	scan
	buf     []byte
	reached [len(codes)]uint64 // up to here every record was delivered, found, or reported lost
	seen    [len(codes)]bool
	lost    int64
	frames  int
}

func (f *finder) find() (int64, error) {
	entries, err := os.ReadDir(f.dir)
	if err != nil {
		return 0, err
	}
	f.reached = f.pos.delivered
	for _, e := range entries {
		if info, err := e.Info(); err == nil && strings.HasPrefix(e.Name(), refusedPrefix) {
			f.bytes.Add(info.Size())
		}
		digits, ok := strings.CutPrefix(e.Name(), segmentPrefix)
		if n, err := strconv.ParseUint(digits, 10, 64); ok && err == nil {
			f.segments = append(f.segments, &segment{n: n, dir: filepath.Join(f.dir, e.Name())})
		}
	}
	slices.SortFunc(f.segments, func(a, b *segment) int { return cmp.Compare(a.n, b.n) })
	f.lastSeg = f.pos.segment
	f.open.n = f.pos.batch + 1
	for _, seg := range f.segments {
		f.lastSeg = max(f.lastSeg, seg.n)
		if err := f.segment(seg); err != nil {
			return 0, err
		}
	}
	if n := len(f.segments); f.known && (n == 0 && f.pos.segment > 0 || n > 0 && f.segments[n-1].n < f.pos.segment) {
		f.unknown = true // the last one is missing
	}
	f.heads = f.last
	for code, p := range f.pos.heads {
		if p.seq > f.heads[code].seq {
			f.heads[code] = p
		}
	}
	if err := f.frontsLeft(); err != nil {
		return 0, err
	}
	f.judge()
	return f.lost, nil
}

// segment reads a segment.
func (f *finder) segment(seg *segment) error {
	var err error
	if f.buf, err = readAll(seg.path(), f.buf); err != nil {
		if !os.IsNotExist(err) {
			return err // to try again later is better than to call it lost
		}
		f.buf = f.buf[:0]
	}
	seg.size.Store(int64(len(f.buf)))
	f.bytes.Add(int64(len(f.buf)))
	f.damaged, f.unknown = false, f.known && seg.n == f.pos.segment && len(f.buf) == 0
	f.run(f.buf, func(fr *frame, from, to int) { f.frame(seg, fr, int64(from), int64(to)) })
	seg.damaged = f.damaged
	if f.damaged {
		f.logger.Error("a part of the audit spool is damaged", "segment", seg.n)
	}
	return nil
}

func (f *finder) frame(seg *segment, fr *frame, from, to int64) {
	f.frames++
	f.open.n = max(f.open.n, fr.batch+1)
	records, oldest := 0, time.Time{}
	fr.walk(func(r written) {
		if records == 0 {
			oldest = r.time()
		}
		records++
		f.record(r.code, r.seq)
	})
	if fr.batch <= f.pos.batch || records == 0 {
		return // delivered, or nothing is left of it
	}
	f.spool.records += int64(records)
	if n := len(f.queue); n > 0 && f.queue[n-1].n == fr.batch && f.queue[n-1].seg == seg {
		f.queue[n-1].to = to
		f.queue[n-1].records += records
		return
	}
	seg.left++
	f.queue = append(f.queue, &batch{n: fr.batch, seg: seg, from: from, to: to, records: records, oldest: oldest})
}

// frontsLeft writes to the spool what the process had no time to.
func (f *finder) frontsLeft() error {
	type found struct {
		written
		raw []byte
	}
	var left []found
	for i := range fronts {
		b, err := readAll(frontName(f.dir, i), nil)
		if err != nil && !os.IsNotExist(err) {
			return err
		}
		// What was written to the spool is still there, and whatever was there before.
		salvage(b, func(r written, raw []byte) {
			if r.seq > f.reached[r.code] && (f.known || f.seen[r.code]) {
				left = append(left, found{r, raw})
			}
		})
	}
	if len(left) == 0 {
		return nil
	}
	slices.SortStableFunc(left, func(a, b found) int {
		return cmp.Or(cmp.Compare(a.seq, b.seq), cmp.Compare(a.code, b.code))
	})
	lp := &lap{buf: make([]byte, headRoom, headRoom+fronts*frontSize), oldest: left[0].time(), heads: f.heads}
	for _, r := range left {
		if r.seq <= f.reached[r.code] {
			continue // both have it
		}
		f.record(r.code, r.seq)
		lp.buf = append(lp.buf, r.raw...)
		lp.items++
		if r.seq > lp.heads[r.code].seq {
			lp.heads[r.code] = r.place
		}
	}
	f.logger.Info("audit records were taken and not yet written to the spool", "records", lp.items)
	if _, _, err := f.append(lp, &LogOptions{BatchSize: lp.items, segment: 1}); err != nil {
		return err
	}
	tail := f.tail
	f.tail = nil
	return tail.finish()
}

// record notes that a record is there.
func (f *finder) record(code byte, seq uint64) {
	if f.known || f.seen[code] {
		f.missing(code, seq-1)
	}
	f.seen[code] = true
	f.reached[code] = max(f.reached[code], seq)
}

// missing notes that all records up to seq that were not found are lost.
func (f *finder) missing(code byte, seq uint64) {
	if from := f.reached[code] + 1; from <= seq {
		f.logger.Error("audit records are lost", "stream", codes[code], "first", from, "last", seq)
		f.lost += int64(seq - from + 1)
		f.reached[code] = seq
	}
}

// judge decides, after all was read, where the chains stand and whether they can be gone on with.
func (f *finder) judge() {
	for code := 1; code < len(codes); code++ {
		if f.known || f.seen[code] {
			f.missing(byte(code), f.heads[code].seq)
		}
	}
	if f.unknown && !(f.known && f.pos.closed) {
		f.lost++
		f.logger.Error("the end of the audit spool cannot be read, and what was written last is lost; it is delivered, and a new one begun")
	} else if f.known || f.frames > 0 {
		return
	}
	// To go on could give two records the same place in a chain.
	f.pos.ended = true
	if err := f.savePosition(); err != nil {
		f.logger.Warn("the position of an audit spool cannot be written", "error", err)
	}
}

// readAll reads a file, in buf if that is large enough, and sees to it that it is on disk.
func readAll(name string, buf []byte) ([]byte, error) {
	file, err := os.Open(name)
	if err != nil {
		return buf[:0], err
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return buf[:0], err
	}
	if int64(cap(buf)) < info.Size() {
		buf = make([]byte, info.Size())
	}
	n, err := file.ReadAt(buf[:info.Size()], 0)
	if int64(n) < info.Size() {
		return buf[:0], fmt.Errorf("reading %s: %w", name, err)
	}
	// It may be in memory only, and what is delivered must not be forgotten here.
	if err := file.Sync(); err != nil {
		return buf[:0], err
	}
	return buf[:n], nil
}
