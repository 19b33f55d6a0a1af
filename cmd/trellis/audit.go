package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"

	"trellis/audit"
	"trellis/audit/clickhouseaudit"
	"trellis/audit/sqliteaudit"
	"trellis/audit/trail"
	"trellis/cmd/trellis/config"
)

// openSink picks the engine of the audit log: the only place that does. No
// engine is reached here, so that one that is away hinders nobody.
func openSink(c *config.Config, log *slog.Logger) (audit.Sink, error) {
	if !c.AuditEmbedded() {
		return clickhouseaudit.Open(c.AuditURL, clickhouseaudit.Options{Retention: c.Retention, Cluster: c.AuditCluster, Logger: log})
	}
	if err := os.MkdirAll(filepath.Dir(c.AuditPath()), 0o700); err != nil {
		return nil, fmt.Errorf("the directory of the audit log cannot be made: %w", err)
	}
	return &lateSink{open: func() (audit.Sink, error) {
		return sqliteaudit.Open(c.AuditPath(), sqliteaudit.Options{Retention: c.Retention})
	}}, nil
}

// auditing is the audit log of a server: what takes records, what carries
// them away and where to.
type auditing struct {
	log     *audit.Log
	sink    audit.Sink
	changes *trail.Follower
	anchors *trail.Anchors

	out   *slog.Logger
	stop  context.CancelFunc
	tasks sync.WaitGroup
}

// openAudit opens the log; start begins to deliver.
func (k *core) openAudit(c *config.Config) (*auditing, error) {
	sink, err := openSink(c, k.log)
	if err != nil {
		return nil, err
	}
	secret := k.secrets.AuditChain()
	spool := audit.LogOptions{Dir: filepath.Join(c.Data, "spool"), Secret: secret, Limit: c.SpoolLimit, Logger: k.log}
	if c.AuditEmbedded() {
		spool.Rest = 9 // at most a tenth of one processor under load
	}
	log, err := audit.OpenLog(spool)
	if err != nil {
		return nil, errors.Join(err, sink.Close())
	}
	o := trail.Options{Secret: secret, Holder: log.Writer(), Logger: k.log}
	if c.Embedded() {
		// One process after the other: after a crash the next one need not wait long.
		o.TTL = embeddedLease
	}
	return &auditing{
		log: log, sink: sink, out: k.log,
		changes: trail.New(k.store, func() trail.View { return k.index.View() }, sink, o),
		anchors: trail.NewAnchors(k.graph, c.AuditName(), c.Retention, time.Now),
	}, nil
}

// embeddedLease is how long a killed process keeps the next one from bringing
// changes to the audit log.
const embeddedLease = 5 * time.Second

// start delivers in the background until Close.
func (u *auditing) start() {
	ctx, cancel := context.WithCancel(context.Background())
	u.stop = cancel
	u.tasks.Go(func() { u.log.Ship(ctx, u.sink) })
	u.tasks.Go(func() { u.changes.Run(ctx) })
}

// upkeep removes what is older than the retention, and remembers in the graph how
// far the log has come, so that an end which somebody cuts off is missed.
func (u *auditing) upkeep(ctx context.Context, now time.Time) (removed int) {
	removed, err := u.sink.Sweep(ctx, now)
	if err != nil {
		u.out.Warn("old audit records could not be cleared away", "error", err)
	}
	cut, err := u.anchors.Keep(ctx, u.sink)
	if err != nil {
		u.out.Warn("how far the audit log has come could not be remembered", "error", err)
	}
	for _, l := range cut {
		u.out.Error("the end of a chain of audit records is gone: somebody removed it", "stream", l.Stream, "writer", l.Writer, "number", l.Seq)
	}
	return removed
}

const (
	// lastDelivery is how long a server that stops goes on delivering, and
	// hopelessDelivery how long if the sink did not answer before.
	lastDelivery     = 5 * time.Second
	hopelessDelivery = time.Second
)

// Close delivers what is left, for a few seconds at most, and ends everything.
// What a sink that is away does not get stays where it is for the next start.
func (u *auditing) Close() error {
	if u.stop != nil {
		wait := lastDelivery
		if u.log.State().Err != nil || u.changes.State().Err != nil {
			wait = hopelessDelivery
		}
		ctx, cancel := context.WithTimeout(context.Background(), wait)
		defer cancel()
		if err := errors.Join(u.changes.Flush(ctx), u.log.Flush(ctx)); err != nil {
			u.out.Warn("not everything has reached the audit log; the rest follows after the next start", "error", err)
		}
		u.stop()
		u.tasks.Wait()
	}
	return errors.Join(u.log.Close(), u.sink.Close())
}

// lateSink is a sink that is opened when it is first needed, and again for as
// long as that fails: a file may be locked by others, or its directory be away.
type lateSink struct {
	open func() (audit.Sink, error)

	mu     sync.Mutex
	sink   audit.Sink
	closed bool
}

var _ audit.Sink = (*lateSink)(nil)

func (l *lateSink) opened() (audit.Sink, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return nil, fmt.Errorf("%w: it is closed", audit.ErrUnavailable)
	}
	if l.sink == nil {
		s, err := l.open()
		if err != nil {
			return nil, err
		}
		l.sink = s
	}
	return l.sink, nil
}

func (l *lateSink) Deliver(ctx context.Context, b audit.Batch) error {
	s, err := l.opened()
	if err != nil {
		return err
	}
	return s.Deliver(ctx, b)
}

func (l *lateSink) Sweep(ctx context.Context, now time.Time) (int, error) {
	s, err := l.opened()
	if err != nil {
		return 0, err
	}
	return s.Sweep(ctx, now)
}

func (l *lateSink) Find(ctx context.Context, q audit.Query, yield func(audit.Record) error) error {
	s, err := l.opened()
	if err != nil {
		return err
	}
	return s.Find(ctx, q, yield)
}

func (l *lateSink) Stats(ctx context.Context, q audit.StatsQuery) ([]audit.Bucket, error) {
	s, err := l.opened()
	if err != nil {
		return nil, err
	}
	return s.Stats(ctx, q)
}

func (l *lateSink) LastUsed(ctx context.Context, keys []string) (map[string]time.Time, error) {
	s, err := l.opened()
	if err != nil {
		return nil, err
	}
	return s.LastUsed(ctx, keys)
}

func (l *lateSink) Writers(ctx context.Context, st audit.Stream) ([]audit.Record, error) {
	s, err := l.opened()
	if err != nil {
		return nil, err
	}
	return s.Writers(ctx, st)
}

func (l *lateSink) Follow(ctx context.Context, st audit.Stream, writer string, after uint64, yield func(audit.Record) error) error {
	s, err := l.opened()
	if err != nil {
		return err
	}
	return s.Follow(ctx, st, writer, after, yield)
}

func (l *lateSink) Misfiled(ctx context.Context, st audit.Stream, limit int, yield func(audit.Head) error) error {
	s, err := l.opened()
	if err != nil {
		return err
	}
	return s.Misfiled(ctx, st, limit, yield)
}

func (l *lateSink) Close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.closed = true
	if l.sink == nil {
		return nil
	}
	return l.sink.Close()
}
