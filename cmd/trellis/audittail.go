package main

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"trellis/cmd/trellis/client"
)

const (
	// tailEvery is how often tail -f asks.
	tailEvery = time.Second
	// tailOverlap is how far before the newest record tail -f looks again: records
	// of several servers arrive a little out of order. Now and then, every
	// deepEvery questions, it looks tailDeep back.
	tailOverlap = 5 * time.Second
	tailDeep    = time.Minute
	deepEvery   = 20
)

func (a *app) auditTailCommand() *cobra.Command {
	var f auditFilter
	var follow, wide bool
	var lines int
	c := &cobra.Command{
		Use: "tail", Short: "Print the newest records of the audit log, and follow it", Args: cobra.NoArgs,
		Long: `Print the newest records, the newest last. With -f, go on with those that
arrive, until interrupted; the questions that it asks for that are not shown.
A record is there about a second after what it tells of. What one of several
servers delivers more than a minute after the others, because it could not
before, is not shown: query finds it.`,
		Example: "  trellis audit tail -f\n  trellis audit tail -f --stream decisions --where answer=denied",
		RunE: func(c *cobra.Command, _ []string) error {
			if lines < 0 || lines > auditPage {
				return fmt.Errorf("--lines is %d: want 0 to %d", lines, auditPage)
			}
			cl, err := a.client()
			if err != nil {
				return err
			}
			defer cl.Close()
			cl.RequestIDs = "tail-" + rand.Text() + "-"
			t := &tail{cl: cl, filter: f, p: a.auditPrinter(f.stream, wide), seen: map[place]time.Time{}}
			err = t.begin(c.Context(), lines, follow)
			if err == nil && !follow {
				err = t.p.end()
			}
			if err != nil || !follow {
				return err
			}
			err = t.follow(c.Context(), tailEvery)
			if c.Context().Err() != nil {
				return nil // interrupted: that is how it ends
			}
			return err
		},
	}
	f.add(c, false)
	c.Flags().BoolVarP(&follow, "follow", "f", false, "go on with records that arrive")
	c.Flags().IntVarP(&lines, "lines", "n", 20, "how many of the newest to begin with")
	c.Flags().BoolVar(&wide, "wide", false, "do not cut names to fit 100 columns")
	return a.jsonFlag(c)
}

// place names a record for ever.
type place struct {
	writer string
	seq    uint64
}

// tail follows one stream.
type tail struct {
	cl     *client.Client
	filter auditFilter
	p      *auditPrinter
	// newest is the time of the newest record, seen what has been read of the
	// time since tailDeep before it.
	newest time.Time
	seen   map[place]time.Time
	asked  int
}

// begin prints the newest records and, if they are to be followed, notes what is before them.
func (t *tail) begin(ctx context.Context, lines int, follow bool) error {
	q, err := t.filter.query(time.Now())
	if err != nil {
		return err
	}
	var all []auditRecord
	// One more than is shown: what is not newer than that one is before the first line.
	err = auditRecords(ctx, t.cl, t.filter.path(), q, lines+1, func(page []auditRecord) error { all = append(all, page...); return nil })
	if err != nil || len(all) == 0 {
		return err
	}
	t.newest = all[0].Time
	var before time.Time
	if len(all) > lines {
		before, all = all[lines].Time, all[:lines]
	}
	for _, r := range all {
		t.seen[place{r.Writer, r.Seq}] = r.Time
	}
	if err := t.show(all); err != nil || !follow {
		return err
	}
	fresh, err := t.read(ctx)
	if err != nil {
		return err
	}
	return t.show(slices.DeleteFunc(fresh, func(r auditRecord) bool { return !r.Time.After(before) }))
}

// follow prints what arrives until the context ends.
func (t *tail) follow(ctx context.Context, every time.Duration) error {
	for sleep(ctx, every) {
		fresh, err := t.read(ctx)
		if err == nil {
			err = t.show(fresh)
		}
		if err != nil {
			return err
		}
	}
	return ctx.Err()
}

// read returns what is not seen yet of the time before the newest record and
// since, newest first, and notes it as seen.
func (t *tail) read(ctx context.Context) (fresh []auditRecord, err error) {
	q, err := t.filter.query(time.Now())
	if err != nil {
		return nil, err
	}
	overlap := tailOverlap
	if t.asked++; t.asked%deepEvery == 0 {
		overlap = tailDeep
	}
	if !t.newest.IsZero() {
		q.Set("from", formatTime(t.newest.Add(-overlap)))
	}
	// As one answer, and not by pages: there may be much of it.
	body, err := t.cl.Open(ctx, t.filter.path(), q, exportTypes["ndjson"])
	if err != nil {
		return nil, err
	}
	defer body.Close()
	for d := json.NewDecoder(body); ; {
		var r auditRecord
		if err := d.Decode(&r); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			return nil, fmt.Errorf("the answer broke off: %w", err)
		}
		k := place{r.Writer, r.Seq}
		if _, ok := t.seen[k]; ok {
			continue
		}
		t.seen[k] = r.Time
		if r.Time.After(t.newest) {
			t.newest = r.Time
		}
		fresh = append(fresh, r)
	}
	for k, at := range t.seen {
		if at.Before(t.newest.Add(-2 * tailDeep)) {
			delete(t.seen, k)
		}
	}
	return fresh, nil
}

// show prints records that come newest first, the newest last, without those
// of tail's own questions.
func (t *tail) show(records []auditRecord) error {
	records = slices.DeleteFunc(slices.Clone(records), func(r auditRecord) bool { return strings.HasPrefix(r.RequestID, t.cl.RequestIDs) })
	slices.Reverse(records)
	return t.p.print(records)
}
