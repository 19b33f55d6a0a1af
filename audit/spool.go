package audit

import (
	"crypto/rand"
	"encoding/base32"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// maxBatch is from how many bytes on a batch is complete.
const maxBatch = 4 << 20

// Names in a spool's directory.
const (
	lockFile      = "lock"
	segmentPrefix = "wal-"
	refusedPrefix = "refused-"
	damagedPrefix = "damaged-"
)

// spool is the directory of one writer. Whoever has it holds its lock. It has at
// most one caller of append, and one of next and done, at a time.
type spool struct {
	dir, writer string
	logger      *slog.Logger
	lock        *os.File
	wake        chan struct{} // has room for one: look at next again
	bytes       atomic.Int64  // on disk, but for a last segment that is delivered
	tasks       sync.WaitGroup
	fronts      [][]byte // the whole of them, as long as they are mapped

	mu       sync.Mutex
	segments []*segment
	tail     *segment // being written, nil if the next write begins one
	lastSeg  uint64
	queue    []*batch // complete
	open     batch    // being filled
	writing  bool     // the number of open is being used
	shut     bool     // open is to be closed after the write under way
	records  int64    // not delivered
	heads    places
	pos      position
	moved    chan struct{} // closed, and replaced, when a batch is done
	posFile  *os.File
}

// batch is a part of a segment that is delivered at once.
type batch struct {
	n        uint64
	seg      *segment
	from, to int64
	records  int
	began    time.Time // monotonic
	oldest   time.Time // the time of the first record
}

// newWriter makes up a name.
func newWriter() string {
	var b [8]byte
	rand.Read(b[:]) // never fails
	return "w_" + strings.ToLower(base32.StdEncoding.WithPadding(base32.NoPadding).EncodeToString(b[:]))
}

// takeSpool returns a spool that nobody uses and that can be written to, and
// how many of its records cannot be read; a new one if there is none.
func takeSpool(base string, logger *slog.Logger) (*spool, int64, error) {
	if err := os.MkdirAll(base, 0o700); err != nil {
		return nil, 0, err
	}
	names, err := spools(base)
	if err != nil {
		return nil, 0, err
	}
	for _, name := range names {
		s, lost, err := openSpool(filepath.Join(base, name), logger)
		if err != nil {
			// Another one will do; whoever ships will come upon it again.
			logger.Error("an audit spool cannot be opened", "spool", name, "error", err)
			continue
		}
		if s == nil {
			continue
		}
		if !s.pos.ended {
			if err = s.mapFronts(); err == nil {
				return s, lost, nil
			}
			logger.Error("an audit spool cannot be gone on with", "spool", name, "error", err)
		}
		s.release()
	}
	for {
		s, err := createSpool(base, logger)
		if s != nil || err != nil {
			return s, 0, err
		}
	}
}

// spools lists the writers that have a directory.
func spools(base string) (names []string, err error) {
	dirs, err := os.ReadDir(base)
	for _, d := range dirs {
		if d.IsDir() && strings.HasPrefix(d.Name(), "w_") {
			names = append(names, d.Name())
		}
	}
	return names, err
}

// createSpool returns nil if another process was faster to take it.
func createSpool(base string, logger *slog.Logger) (*spool, error) {
	dir := filepath.Join(base, newWriter())
	if err := os.Mkdir(dir, 0o700); err != nil {
		return nil, err
	}
	lock, err := lockSpool(dir)
	if lock == nil {
		return nil, err
	}
	s := makeSpool(dir, lock, logger)
	s.posFile, err = os.OpenFile(filepath.Join(dir, positionFile), os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	for range 2 { // both slots
		if err == nil {
			err = s.pos.write(s.posFile)
		}
	}
	if err == nil {
		err = s.mapFronts()
	}
	if err == nil {
		err = errors.Join(s.posFile.Sync(), syncDir(dir), syncDir(base))
	}
	if err != nil {
		s.release()
		_ = os.RemoveAll(dir) // nothing was written to it
		return nil, err
	}
	return s, nil
}

func makeSpool(dir string, lock *os.File, logger *slog.Logger) *spool {
	return &spool{dir: dir, writer: filepath.Base(dir), lock: lock, wake: make(chan struct{}, 1), moved: make(chan struct{}),
		logger: logger.With("spool", filepath.Base(dir)), open: batch{n: 1}}
}

// lockSpool returns nil if another has the lock, or removed the spool.
func lockSpool(dir string) (*os.File, error) {
	name := filepath.Join(dir, lockFile)
	f, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		if os.IsNotExist(err) {
			return nil, nil
		}
		return nil, err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		f.Close()
		if errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, nil
		}
		return nil, err
	}
	if !isThere(f) {
		f.Close()
		return nil, nil
	}
	return f, nil
}

// isThere tells whether the file still has its name.
func isThere(f *os.File) bool {
	mine, err := f.Stat()
	if err != nil {
		return false
	}
	there, err := os.Stat(f.Name())
	return err == nil && os.SameFile(mine, there)
}

// release gives up the lock.
func (s *spool) release() {
	s.unmapFronts()
	if s.posFile != nil {
		s.posFile.Close()
	}
	s.lock.Close()
}

// close ends the writing, for good, and releases the spool.
func (s *spool) close() error {
	s.mu.Lock()
	tail := s.tail
	s.tail = nil
	s.mu.Unlock()
	var err error
	if tail != nil {
		err = tail.finish()
	}
	s.tasks.Wait()
	s.mu.Lock()
	s.pos.closed = true
	err = errors.Join(err, s.savePosition(), s.posFile.Sync())
	s.mu.Unlock()
	s.release()
	return err
}

// savePosition is called with mu held.
func (s *spool) savePosition() error {
	s.pos.heads = s.heads
	return s.pos.write(s.posFile)
}

// backlog tells how many records are not delivered, with those in laps that
// are still to be written, the time of the first, and the size on disk.
func (s *spool) backlog(laps []*lap) (records int64, oldest time.Time, size int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	records = s.records
	switch {
	case len(s.queue) > 0:
		oldest = s.queue[0].oldest
	case s.open.records > 0:
		oldest = s.open.oldest
	}
	for _, lp := range laps {
		if lp == nil || lp.items == 0 || lp.counted {
			continue
		}
		records += int64(lp.items)
		if oldest.IsZero() {
			oldest = lp.oldest
		}
	}
	return records, oldest, s.bytes.Load()
}

// sync brings to disk what is not there yet.
func (s *spool) sync() error {
	s.mu.Lock()
	tail := s.tail
	s.mu.Unlock()
	if tail == nil {
		return nil
	}
	return tail.sync(noContext, tail.size.Load())
}

// append writes a lap, and returns the segment and where in it the lap ends.
// If that fails, it is as if nothing had been written.
func (s *spool) append(lp *lap, o *LogOptions) (*segment, int64, error) {
	s.mu.Lock()
	if s.open.records > 0 && (s.open.records+lp.items > o.BatchSize || s.tail.unsound()) {
		s.closeBatch() // a batch lies in one segment, and an unsound one gets no more
	}
	seg, err := s.room(o.segment)
	n := s.open.n
	s.writing = true // n is taken
	s.mu.Unlock()

	if err == nil {
		err = seg.write(sealFrame(lp.buf, n, &lp.heads))
	}

	s.mu.Lock()
	defer s.mu.Unlock()
	s.writing = false
	b := &s.open
	if err != nil {
		if s.shut && b.records > 0 {
			s.closeBatch()
		}
		if seg != nil {
			s.giveUp(seg)
		}
		return nil, 0, err
	}
	end, first := seg.size.Load(), b.records == 0
	if first {
		b.seg, b.from, b.began, b.oldest = seg, b.to, time.Now(), lp.oldest
		seg.left++
	}
	s.bytes.Add(end - b.to)
	b.to = end
	b.records += lp.items
	s.records += int64(lp.items)
	lp.counted = true
	s.heads = lp.heads
	if s.pos.segment != seg.n {
		// So that a segment that gets lost is missed.
		s.pos.segment, s.pos.closed = seg.n, false
		if err := s.savePosition(); err != nil {
			s.logger.Warn("the position of an audit spool cannot be written", "error", err)
		}
	}
	if s.shut || b.records >= o.BatchSize || b.to-b.from >= maxBatch {
		s.closeBatch()
	} else if first {
		signal(s.wake)
	}
	return seg, end, nil
}

// room returns the segment to write to. The caller holds mu.
func (s *spool) room(size int64) (*segment, error) {
	if t := s.tail; t != nil {
		// A batch lies in one segment.
		if s.open.records > 0 || t.size.Load() < size && !t.unsound() {
			return t, nil
		}
		s.tail = nil
		s.tasks.Go(func() {
			if err := t.finish(); err != nil {
				s.logger.Error("the audit spool could not be brought to disk", "error", err)
			}
		})
	}
	seg, err := newSegment(s.dir, s.lastSeg+1)
	if err != nil {
		return nil, err
	}
	s.lastSeg++
	s.segments = append(s.segments, seg)
	s.tail, s.open.to = seg, 0
	return seg, nil
}

// giveUp ends a segment that could not be written to. The caller holds mu.
func (s *spool) giveUp(seg *segment) {
	s.tail = nil
	if s.open.records > 0 {
		s.closeBatch()
	}
	if seg.size.Load() == 0 {
		s.segments = s.segments[:len(s.segments)-1]
		_ = seg.finish()
		_ = seg.drop()
		s.lastSeg--
		return
	}
	s.tasks.Go(func() { _ = seg.finish() }) // it was reported
}

// closeBatch is called with mu held, and no write under way.
func (s *spool) closeBatch() {
	b := s.open
	s.queue = append(s.queue, &b)
	s.open = batch{n: b.n + 1, to: b.to}
	s.shut = false
	signal(s.wake)
}

// next returns the first batch that can be delivered, closing the open one if
// it has the age; otherwise in how long that will be, 0 for not before wake.
func (s *spool) next(age time.Duration) (*batch, time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.queue) == 0 && s.open.records > 0 {
		if wait := age - time.Since(s.open.began); wait > 0 {
			return nil, wait
		}
		s.shutBatch()
	}
	if len(s.queue) == 0 {
		return nil, 0
	}
	return s.queue[0], 0
}

// second returns the batch after the one that next has returned, if it is complete.
func (s *spool) second() *batch {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.queue) < 2 {
		return nil
	}
	return s.queue[1]
}

// shutBatch closes the open batch as soon as no write is under way. The caller holds mu.
func (s *spool) shutBatch() {
	if s.writing {
		s.shut = true
	} else {
		s.closeBatch()
	}
}

// done removes the batch that next returned. reached are the highest seqs in it.
func (s *spool) done(b *batch, reached *[len(codes)]uint64) {
	s.mu.Lock()
	s.queue[0] = nil
	s.queue = s.queue[1:]
	s.records -= int64(b.records)
	b.seg.left--
	s.pos.batch = b.n
	for i, seq := range reached {
		s.pos.delivered[i] = max(s.pos.delivered[i], seq)
	}
	if s.records == 0 {
		// What was lost at the end will not come any more.
		for i := range s.heads {
			s.pos.delivered[i] = s.heads[i].seq
		}
	}
	err := s.savePosition()
	close(s.moved)
	s.moved = make(chan struct{})
	// The last segment stays: it tells where the chains stand.
	var old []*segment
	for len(s.segments) > 1 && s.segments[0].left == 0 && slices.ContainsFunc(s.segments[1:], (*segment).used) {
		old = append(old, s.segments[0])
		s.segments = s.segments[1:]
	}
	s.discount()
	s.mu.Unlock()
	if len(old) > 0 && err == nil {
		err = s.posFile.Sync()
	}
	if err != nil {
		s.logger.Warn("the position of an audit spool cannot be written", "error", err)
	}
	for _, seg := range old {
		if err := seg.drop(); err != nil {
			s.logger.Error("a delivered part of the audit spool cannot be removed", "error", err)
			continue
		}
		s.bytes.Add(seg.free - seg.size.Load())
	}
}

// discount takes the last segment, which stays, from what counts as used when
// all is delivered: otherwise a small spool could be full for ever. The caller holds mu.
func (s *spool) discount() {
	if s.records > 0 || s.writing || len(s.segments) != 1 {
		return
	}
	last := s.segments[0]
	size := last.size.Load()
	s.bytes.Add(last.free - size)
	last.free = size
}

// remove deletes what was delivered, and the whole directory if nothing is
// left for anyone to look at.
func (s *spool) remove() error {
	s.mu.Lock()
	for i, p := range s.heads {
		s.pos.delivered[i] = p.seq
	}
	s.pos.closed = true // that the last segment is gone is no loss
	err := errors.Join(s.savePosition(), s.posFile.Sync())
	s.mu.Unlock()
	if err != nil {
		return err
	}
	for _, seg := range s.segments {
		if err := seg.drop(); err != nil {
			return err
		}
	}
	entries, err := os.ReadDir(s.dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), refusedPrefix) || strings.HasPrefix(e.Name(), damagedPrefix) {
			return nil
		}
	}
	return os.RemoveAll(s.dir)
}

func (s *spool) refusedName(n uint64) string {
	return filepath.Join(s.dir, fmt.Sprintf("%s%d", refusedPrefix, n))
}
