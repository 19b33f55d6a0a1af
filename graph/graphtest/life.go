package graphtest

import (
	"context"
	"errors"
	"io"
	"time"

	"trellis/graph"
)

var lifeCases = []testCase{
	{name: "WhatWasWrittenIsThereAfterReopening", run: testReopen},
	{name: "CanceledContext", run: testCanceled},
	{name: "UseAfterClose", run: testClosed},
	{name: "CloseWaits", run: testCloseWaits},
}

func testReopen(r *room) {
	first := r.place(r.T)
	batch := r.batch(putProps(r.ref("doc", "a"), values()))
	res, err := first.Commit(r.ctx, []graph.Batch{batch})
	if err != nil || res[0].Err != nil {
		r.Fatal(err, res)
	}
	info, err := first.Info(r.ctx)
	if err != nil {
		r.Fatal(err)
	}
	if err := first.Close(); err != nil {
		r.Fatal(err)
	}
	r.store = r.open()
	if got := r.info(); got != info {
		r.Errorf("info %+v, was %+v", got, info)
	}
	if n := r.node(r.ref("doc", "a")); n == nil || n.Revision != res[0].Revision {
		r.Errorf("node %s", nodeText(n))
	}
	r.same("change", text(&r.changes(res[0].Revision-1, 1)[0]), text(res[0].Change))
}

// calls are all methods of a store, each as one call.
func (r *room) calls(s graph.Store) map[string]func(context.Context) error {
	return map[string]func(context.Context) error{
		"Info":  func(ctx context.Context) error { _, err := s.Info(ctx); return err },
		"Nodes": func(ctx context.Context) error { _, err := s.Nodes(ctx, []graph.Ref{graph.Root}); return err },
		"Ask": func(ctx context.Context) error {
			_, err := s.Ask(ctx, graph.Question{Name: graph.NodesByType, Type: "platform", Limit: 1})
			return err
		},
		"Check": func(ctx context.Context) error {
			_, err := s.Check(ctx, graph.CheckQuery{Subject: graph.Everyone, Permission: "a:b", Resource: graph.Root, At: r.now()})
			return err
		},
		"Search": func(ctx context.Context) error {
			_, err := s.Search(ctx, graph.SearchQuery{Words: []string{"a"}, Limit: 1})
			return err
		},
		"Commit": func(ctx context.Context) error {
			res, err := s.Commit(ctx, []graph.Batch{r.batch(put(r.ref("doc", "never")))})
			if err == nil {
				err = res[0].Err
			}
			return err
		},
		"Changes": func(ctx context.Context) error { _, err := s.Changes(ctx, r.head(), 1); return err },
		"Claim": func(ctx context.Context) error {
			_, err := s.Claim(ctx, graph.Claim{Consumer: r.prefix + "never", Holder: "h", Now: r.now()})
			return err
		},
		"Trim": func(ctx context.Context) error { _, err := s.Trim(ctx, time.UnixMilli(0)); return err },
		"Export": func(ctx context.Context) error {
			_, err := s.Export(ctx, func(graph.Record) error { return nil })
			return err
		},
		"Import": func(ctx context.Context) error {
			return s.Import(ctx, 1, func() (graph.Record, error) { return graph.Record{}, io.EOF })
		},
	}
}

func testCanceled(r *room) {
	head := r.head()
	ctx, cancel := context.WithCancel(r.ctx)
	cancel()
	for name, call := range r.calls(r.store) {
		r.wantKind(name, call(ctx), graph.Canceled)
	}
	ctx, cancel = context.WithDeadline(r.ctx, time.Now().Add(-time.Second))
	defer cancel()
	_, err := r.store.Info(ctx)
	r.wantKind("past its deadline", err, graph.Canceled)
	// In the middle of an export.
	ctx, cancel = context.WithCancel(r.ctx)
	defer cancel()
	var steps []graph.Step
	for i := range 50 {
		steps = append(steps, put(graph.Ref{Type: r.typ("x"), ID: string(rune('A' + i))}))
	}
	r.do(steps...)
	n := 0
	_, err = r.store.Export(ctx, func(graph.Record) error {
		if n++; n == 3 {
			cancel()
			return ctx.Err()
		}
		return nil
	})
	if n != 3 || !errors.Is(err, context.Canceled) {
		r.Errorf("canceled in an export: %v after %d", err, n)
	}
	if r.head() != head+1 || r.node(r.ref("doc", "never")) != nil {
		r.Error("a canceled call had an effect")
	}
	r.do(put(r.ref("doc", "works")))
}

func testClosed(r *room) {
	s := r.place(r.T)
	if _, err := s.Info(r.ctx); err != nil {
		r.Fatal(err)
	}
	for range 2 {
		if err := s.Close(); err != nil {
			r.Errorf("Close: %v", err)
		}
	}
	for name, call := range r.calls(s) {
		r.wantKind(name, call(r.ctx), graph.Closed)
	}
	r.do(put(r.ref("doc", "works"))) // the other one is open
}

func testCloseWaits(r *room) {
	s := r.place(r.T)
	r.do(put(r.ref("doc", "a")))
	inside, closed := make(chan struct{}), make(chan error, 1)
	go func() {
		<-inside
		closed <- s.Close()
	}()
	done := false
	_, err := s.Export(r.ctx, func(graph.Record) error {
		if !done {
			close(inside)
			time.Sleep(30 * time.Millisecond)
			select {
			case <-closed:
				r.Error("Close did not wait for the export")
			default:
			}
			done = true
		}
		return nil
	})
	if err != nil && graph.KindOf(err) != graph.Closed {
		r.Errorf("an export while closing: %v", err)
	}
	if err := <-closed; err != nil {
		r.Errorf("Close: %v", err)
	}
}
