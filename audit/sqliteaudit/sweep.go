package sqliteaudit

import (
	"context"
	"database/sql/driver"
	"strconv"
	"time"

	"trellis/audit"
)

// sweepRows is how many records one transaction of Sweep removes: so few that
// a delivery waits some tens of milliseconds for it.
const sweepRows = 1000

// countsFor is for how long counts are kept, and when a key was last used.
const countsFor = 730 * audit.Day

// Sweep removes records, counts and texts that are past their time. Pages that
// become free are used again; when they are more than a quarter of the file,
// the file is made smaller.
func (s *Sink) Sweep(ctx context.Context, now time.Time) (int, error) {
	if err := s.enter(ctx); err != nil {
		return 0, err
	}
	defer s.gate.leave()
	n, err := s.sweep(ctx, now)
	return n, s.fault(ctx, err)
}

func (s *Sink) sweep(ctx context.Context, now time.Time) (int, error) {
	total := 0
	longest, forever := countsFor, false
	for _, stream := range audit.Streams {
		t, keep := tables[stream], s.opts.Retention[stream]
		if keep <= 0 {
			forever = true
			continue
		}
		n, err := s.inSteps(ctx, `DELETE FROM `+t.name+` WHERE id IN (SELECT id FROM `+t.name+` WHERE id < ?1 ORDER BY id LIMIT ?2)`, before(now, keep))
		total += n
		if err != nil {
			return total, err
		}
		counts := max(keep, countsFor)
		longest = max(longest, counts)
		first := hourID(t.number, 0)
		last := hourID(t.number, before(now, counts)>>idBits/hour)
		if _, err := s.inSteps(ctx, `DELETE FROM hourly WHERE id IN (SELECT id FROM hourly WHERE id >= ?3 AND id < ?1 LIMIT ?2)`, last, first); err != nil {
			return total, err
		}
	}
	if !forever {
		if err := s.sweepWords(ctx, now, longest); err != nil {
			return total, err
		}
	}
	return total, s.shrink(ctx)
}

// before is the least id that is younger than a time before now.
func before(now time.Time, d time.Duration) int64 {
	return firstID(min(max(ceil(now.Add(-d)).UnixMilli(), 0), endOfTime-1))
}

// wordsAtOnce is how many texts one statement looks through.
const wordsAtOnce = 5000

// sweepWords removes the texts that nothing can refer to any more: that have
// not been used for longer than anything is kept. The time of the last use is
// exact to a month for a text, and to two for what a list is made of.
func (s *Sink) sweepWords(ctx context.Context, now time.Time, longest time.Duration) error {
	old := now.Add(-longest - 3*seenOften).UnixMilli()
	for _, text := range []string{`DELETE FROM used WHERE time < ?`, `DELETE FROM batch WHERE time < ?`} {
		if err := s.write(ctx, func(w *writer) error { _, err := w.exec(text, old); return err }); err != nil {
			return err
		}
	}
	var last int64
	if err := s.readers.QueryRowContext(ctx, `SELECT max(id) FROM text`).Scan(&last); err != nil {
		return err
	}
	for from := int64(1); from <= last; from += wordsAtOnce {
		some := 0
		if err := s.readers.QueryRowContext(ctx, `SELECT count(*) FROM text WHERE id >= ? AND id < ? AND seen < ?`, from, from+wordsAtOnce, old).Scan(&some); err != nil {
			return err
		}
		if some == 0 {
			continue
		}
		if err := s.step(ctx, func(w *writer) error {
			for _, text := range []string{
				`DELETE FROM member WHERE list IN (SELECT id FROM text WHERE id >= ?1 AND id < ?2 AND seen < ?3)`,
				`DELETE FROM text WHERE id >= ?1 AND id < ?2 AND seen < ?3`,
			} {
				if _, err := w.exec(text, from, from+wordsAtOnce, old); err != nil {
					return err
				}
			}
			return nil
		}); err != nil {
			return err
		}
	}
	return nil
}

// inSteps runs a statement that removes what is before an id, with how many
// it may remove as its second parameter, until nothing is left.
func (s *Sink) inSteps(ctx context.Context, text string, id int64, args ...driver.Value) (total int, err error) {
	for {
		n := int64(0)
		if err := s.step(ctx, func(w *writer) (err error) {
			values := append([]driver.Value{id, int64(sweepRows)}, args...)
			n, err = w.exec(text, values...)
			return err
		}); err != nil {
			return total, err
		}
		if total += int(n); n < sweepRows {
			return total, nil
		}
	}
}

// step is one transaction of Sweep. Afterwards it pauses for as long as that
// took, and for longer than other processes pause between two looks whether
// they can write.
func (s *Sink) step(ctx context.Context, f func(w *writer) error) error {
	start := time.Now()
	if err := s.write(ctx, f); err != nil {
		return err
	}
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(max(2*maxPause, time.Since(start))):
		return nil
	}
}

// shrinkPages is how many pages one transaction gives back.
const shrinkPages = 500

func (s *Sink) shrink(ctx context.Context) error {
	var free, pages int64
	look := func() error {
		return s.readers.QueryRowContext(ctx, `SELECT freelist_count, page_count FROM pragma_freelist_count, pragma_page_count`).Scan(&free, &pages)
	}
	if err := look(); err != nil || free < pages/4 {
		return err
	}
	// A tenth of what is used is left for what comes next.
	for left := (pages - free) / 10; free > left+shrinkPages; {
		before := free
		if err := s.step(ctx, func(w *writer) error {
			_, err := w.exec(`PRAGMA incremental_vacuum(` + strconv.Itoa(shrinkPages) + `)`)
			return err
		}); err != nil {
			return err
		}
		if err := look(); err != nil || free >= before {
			return err
		}
	}
	return nil
}
