package audit

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tidwall/wal"
)

// A segment is a write-ahead log in a directory of its own, which is written
// by one process at most and never opened for writing again: after a restart, or
// a failed write, the next one is begun. So what was written is never changed,
// and what has been delivered is removed whole.
type segment struct {
	n    uint64
	dir  string
	size atomic.Int64 // of the entries that were written whole
	left int          // batches not delivered; guarded by the spool's mu
	// free are the bytes that no longer count as used, since all that was there is
	// delivered. Guarded by the spool's mu.
	free int64
	// damaged: what is not intact is kept when the segment is removed. Guarded by the spool's mu.
	damaged bool

	// log is nil if nothing more is written: it keeps in memory what it wrote.
	log   *wal.Log
	index uint64 // of the last entry
	ours  bool   // this process wrote it
	// file is the log's file once more: to sync it without the log's lock, so
	// that nobody who only writes waits for the disk.
	file *os.File

	mu      sync.Mutex
	synced  int64
	syncing chan struct{} // closed when the sync under way has ended
	broken  error         // why it could not be synced: what is on disk is not known
}

const segmentFile = "00000000000000000001"

// newSegment begins a segment.
func newSegment(spool string, n uint64) (*segment, error) {
	g := &segment{n: n, ours: true, dir: filepath.Join(spool, fmt.Sprintf("wal-%012d", n))}
	// The log never begins a second file, which would wait for the disk.
	log, err := wal.Open(g.dir, &wal.Options{NoSync: true, SegmentSize: 1 << 40, DirPerms: 0o700, FilePerms: 0o600})
	if err == nil {
		g.log = log
		g.file, err = os.OpenFile(g.path(), os.O_RDWR, 0)
	}
	if err != nil {
		_ = g.drop() // an empty one does no harm
		return nil, err
	}
	return g, nil
}

func (g *segment) path() string { return filepath.Join(g.dir, segmentFile) }

// write appends an entry. After an error the segment has what it had before,
// and must be given up.
func (g *segment) write(b []byte) error {
	if err := g.log.Write(g.index+1, b); err != nil {
		// What is torn is never read, but would be taken for the segment's end
		// by the next process; which can tell it too, if it cannot be cut off.
		_ = os.Truncate(g.path(), g.size.Load())
		return err
	}
	g.index++
	g.size.Add(int64(len(b) + prefixLength(len(b))))
	return nil
}

// prefixLength is how many bytes the log writes before an entry.
func prefixLength(n int) int {
	size := 1
	for ; n >= 0x80; n >>= 7 {
		size++
	}
	return size
}

// sync returns when everything up to end is on disk. Callers share their syncs.
func (g *segment) sync(ctx context.Context, end int64) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	for g.synced < end {
		if g.broken != nil {
			return g.broken
		}
		if c := g.syncing; c != nil {
			g.mu.Unlock()
			select {
			case <-c:
			case <-ctx.Done():
				g.mu.Lock()
				return ctx.Err()
			}
			g.mu.Lock()
			continue
		}
		first, to, c := g.synced == 0, g.size.Load(), make(chan struct{})
		g.syncing = c
		g.mu.Unlock()
		err := g.file.Sync()
		if first && err == nil {
			// The file's name must be there, too, and that of its directory.
			if err = syncDir(g.dir); err == nil {
				err = syncDir(filepath.Dir(g.dir))
			}
		}
		g.mu.Lock()
		g.syncing = nil
		close(c)
		if err != nil {
			// Asking again would say that all is well, although pages are lost.
			g.broken = err
			return err
		}
		g.synced = to
	}
	return nil
}

func (g *segment) used() bool { return g.size.Load() > 0 }

// unsound tells whether it could not be synced.
func (g *segment) unsound() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.broken != nil
}

// finish ends the writing.
func (g *segment) finish() error {
	err := g.sync(context.Background(), g.size.Load())
	_ = g.log.Close() // syncs once more, which costs nothing now
	g.log = nil
	_ = g.file.Close()
	return err
}

// read returns a part of the segment, in buf if that is large enough.
func (g *segment) read(buf []byte, from, to int64) ([]byte, error) {
	f, err := os.Open(g.path())
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if int64(cap(buf)) < to-from {
		buf = make([]byte, to-from)
	}
	n, err := f.ReadAt(buf[:to-from], from)
	if err == io.EOF { //nolint:errorlint // ReadAt returns it as it is
		err = nil // what is missing is missing
	}
	return buf[:n], err
}

// drop removes the segment, but keeps a damaged file beside it.
func (g *segment) drop() error {
	if g.damaged {
		kept := filepath.Join(filepath.Dir(g.dir), fmt.Sprintf("%s%s-%d", damagedPrefix, time.Now().UTC().Format("20060102T150405"), g.n))
		if err := os.Rename(g.path(), kept); err != nil && !os.IsNotExist(err) {
			return err
		}
	}
	return os.RemoveAll(g.dir)
}

func syncDir(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer f.Close()
	return f.Sync()
}
