//go:build unix

package sqlitegraph_test

import (
	"context"
	"database/sql"
	"fmt"
	"io"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"modernc.org/sqlite"

	"trellis/graph"
	"trellis/graph/sqlitegraph"
)

func openBench(b *testing.B) *sqlitegraph.Store {
	b.Helper()
	s, err := sqlitegraph.Open(filepath.Join(b.TempDir(), "graph.db"), sqlitegraph.Options{})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { s.Close() })
	return s
}

func commit(b *testing.B, s graph.Store, group ...graph.Batch) []graph.Result {
	b.Helper()
	for i := range group {
		if err := group[i].Validate(); err != nil {
			b.Fatal(err)
		}
	}
	res, err := s.Commit(context.Background(), group)
	if err != nil {
		b.Fatal(err)
	}
	for i := range res {
		if res[i].Err != nil {
			b.Fatal(res[i].Err)
		}
	}
	return res
}

var noon = time.UnixMilli(1_750_000_000_000).UTC()

// cpuTime is what this process has used, which other programs on the machine
// do not change as much as they change the time on the wall.
func cpuTime() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

func user(i int) graph.Ref {
	return graph.Ref{Type: "user", ID: fmt.Sprintf("0197f3a2-7c1e-7000-8000-%012d", i)}
}
func repo(i int) graph.Ref {
	return graph.Ref{Type: "repo", ID: fmt.Sprintf("kubernetes/repository-%d", i)}
}

// fill makes users and repositories as they are in practice.
func fill(b *testing.B, s graph.Store, users, repos int) graph.Revision {
	b.Helper()
	role := graph.Ref{Type: "role", ID: "editor"}
	steps := []graph.Step{graph.Put(graph.Node{Ref: role, Props: graph.Props{"slug": "editor"}})}
	for i := range users {
		steps = append(steps, graph.Put(graph.Node{Ref: user(i), Names: []string{fmt.Sprintf("email:user%d@example.com", i)},
			Props: graph.Props{"name": fmt.Sprintf("User Number %d", i), "email": fmt.Sprintf("user%d@example.com", i), "status": "active", "verified": true}}))
	}
	for i := range repos {
		steps = append(steps, graph.Put(graph.Node{Ref: repo(i), Props: graph.Props{"name": fmt.Sprintf("repository-%d", i)}}),
			graph.Link(graph.Edge{EdgeKey: graph.EdgeKey{From: repo(i), Kind: graph.ChildOf, To: graph.Root}}))
	}
	for len(steps) > 0 {
		n := min(len(steps), 20_000)
		commit(b, s, graph.Batch{ID: fmt.Sprint("fill", len(steps)), Actor: user(0), Time: noon, Steps: steps[:n]})
		steps = steps[n:]
	}
	nodes, err := s.Nodes(context.Background(), []graph.Ref{role})
	if err != nil || len(nodes) != 1 {
		b.Fatal(nodes, err)
	}
	return nodes[0].Revision
}

func grant(i, users, repos int) graph.Edge {
	return graph.Edge{
		EdgeKey: graph.EdgeKey{From: user(i * 7919 % users), Kind: graph.CanAccess, To: repo((i/users*31 + i*104729) % repos), Key: "editor"},
		Props:   graph.Props{graph.PropRole: "editor", graph.PropGrantedBy: "user:0197f3a2-7c1e-7000-8000-000000000000", "granted_at": noon.UnixMilli() + int64(i)},
	}
}

// Grants as the service writes them, in groups of 64: the budget is 8,000 a second.
func BenchmarkGrantsInGroupsOf64(b *testing.B) {
	const users, repos = 10_000, 20_000
	s := openBench(b)
	rev := fill(b, s, users, repos)
	role := graph.Ref{Type: "role", ID: "editor"}
	b.ReportAllocs()
	cpu := cpuTime()
	b.ResetTimer()
	group := make([]graph.Batch, 0, 64)
	for i := range b.N {
		group = append(group, graph.Batch{ID: fmt.Sprintf("0197f3a2-7c1e-7000-9000-%012d", i), Actor: user(0), Origin: graph.Origin{RequestID: fmt.Sprintf("req-%d", i)}, Time: noon,
			Steps: []graph.Step{graph.RequireAt(role, rev), graph.Link(grant(i, users, repos))}})
		if len(group) == 64 || i == b.N-1 {
			commit(b, s, group...)
			group = group[:0]
		}
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "grants/s")
	b.ReportMetric(float64((cpuTime()-cpu).Microseconds())/float64(b.N), "cpu-us/grant")
}

// What the file and the driver cost by themselves: rows of a grant's size into
// one table with one index, 64 in a transaction, as durable as the engine.
func BenchmarkRawRowsInGroupsOf64(b *testing.B) {
	c, err := sqlite.NewConnector("file:" + filepath.Join(b.TempDir(), "raw.db") + "?_pragma=journal_mode(WAL)&_pragma=synchronous(FULL)")
	if err != nil {
		b.Fatal(err)
	}
	db := sql.OpenDB(c)
	defer db.Close()
	db.SetMaxOpenConns(1)
	if _, err := db.Exec("CREATE TABLE t (src TEXT, dst TEXT, role TEXT, props TEXT, PRIMARY KEY (src, dst, role)) WITHOUT ROWID"); err != nil {
		b.Fatal(err)
	}
	cpu := cpuTime()
	b.ResetTimer()
	for i := 0; i < b.N; i += 64 {
		tx, err := db.Begin()
		if err != nil {
			b.Fatal(err)
		}
		st, err := tx.Prepare("INSERT OR REPLACE INTO t VALUES (?, ?, ?, ?)")
		if err != nil {
			b.Fatal(err)
		}
		for j := range 64 {
			e := grant(i+j, 10_000, 20_000)
			if _, err := st.Exec(e.From.String(), e.To.String(), e.Key, string(e.Props.AppendJSON(nil))); err != nil {
				b.Fatal(err)
			}
		}
		if err := tx.Commit(); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "rows/s")
	b.ReportMetric(float64((cpuTime()-cpu).Microseconds())/float64(b.N), "cpu-us/row")
}

// One batch of 10,000 steps: 5,000 nodes with an edge each.
func BenchmarkBatchOf10000Steps(b *testing.B) {
	s := openBench(b)
	for i := range b.N {
		var steps []graph.Step
		for j := range 5000 {
			n := repo(i*5000 + j)
			steps = append(steps, graph.Put(graph.Node{Ref: n, Props: graph.Props{"name": n.ID}}), graph.Link(graph.Edge{EdgeKey: graph.EdgeKey{From: n, Kind: graph.ChildOf, To: graph.Root}}))
		}
		commit(b, s, graph.Batch{ID: fmt.Sprint(i), Actor: user(0), Time: noon, Steps: steps})
	}
	b.ReportMetric(float64(b.N)*5000/b.Elapsed().Seconds(), "edges/s")
}

// records is a graph of half nodes, in export order.
func records(edges int) []graph.Record {
	users, repos := max(1, edges/20), max(1, edges/10)
	var out []graph.Record
	stamp := func(n *graph.Node) graph.Record {
		n.Created, n.Updated, n.Revision = noon, noon, 1
		return graph.Record{Node: n}
	}
	for i := range repos {
		out = append(out, stamp(&graph.Node{Ref: repo(i), Props: graph.Props{"name": "x"}}))
	}
	for i := range users {
		out = append(out, stamp(&graph.Node{Ref: user(i), Names: []string{fmt.Sprintf("email:user%d@example.com", i)}, Props: graph.Props{"name": fmt.Sprintf("User %d", i), "status": "active"}}))
	}
	for i := range users {
		for j := range edges / users {
			e := grant(i, users, repos)
			e.From, e.To = user(i), repo((i*131+j*17)%repos)
			e.Created, e.Updated, e.Revision = noon, noon, 1
			out = append(out, graph.Record{Edge: &e})
		}
	}
	return out
}

func BenchmarkImport(b *testing.B) {
	for _, edges := range []int{100_000, 1_000_000} {
		b.Run(fmt.Sprint(edges), func(b *testing.B) {
			list := records(edges)
			b.ResetTimer()
			for range b.N {
				b.StopTimer()
				s := openBench(b)
				b.StartTimer()
				i := 0
				if err := s.Import(context.Background(), 1, func() (graph.Record, error) {
					if i == len(list) {
						return graph.Record{}, io.EOF
					}
					i++
					return list[i-1], nil
				}); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.N*edges)/b.Elapsed().Seconds(), "edges/s")
		})
	}
}

func BenchmarkReads(b *testing.B) {
	const users, repos = 10_000, 20_000
	s, ctx := openBench(b), context.Background()
	fill(b, s, users, repos)
	for i := 0; i < 20_000; i += 1000 {
		var group []graph.Batch
		for j := range 1000 {
			group = append(group, graph.Batch{ID: fmt.Sprint(i + j), Time: noon, Steps: []graph.Step{graph.Link(grant(i+j, users, repos))}})
		}
		commit(b, s, group...)
	}
	b.Run("Check", func(b *testing.B) {
		for i := range b.N {
			if _, err := s.Check(ctx, graph.CheckQuery{Subject: user(i % users), Permission: "repo:read", Resource: repo(i % repos), At: noon}); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("Nodes", func(b *testing.B) {
		for i := range b.N {
			if _, err := s.Nodes(ctx, []graph.Ref{user(i % users)}); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("DeepPageOf50", func(b *testing.B) {
		q := graph.Question{Name: graph.EdgesTo, Ref: graph.Root, Kind: graph.ChildOf, Limit: repos / 2}
		a, err := s.Ask(ctx, q)
		if err != nil {
			b.Fatal(err)
		}
		q.After, q.Limit = a.Next, 50
		for range b.N {
			if _, err := s.Ask(ctx, q); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("Changes100", func(b *testing.B) {
		for i := range b.N {
			if _, err := s.Changes(ctx, graph.Revision(i*100%19_000+10), 100); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("NoChanges", func(b *testing.B) {
		for range b.N {
			if _, err := s.Changes(ctx, 1<<40, 100); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("Export", func(b *testing.B) {
		n := 0
		for range b.N {
			if _, err := s.Export(ctx, func(graph.Record) error { n++; return nil }); err != nil {
				b.Fatal(err)
			}
		}
		b.ReportMetric(float64(n)/b.Elapsed().Seconds(), "records/s")
	})
}

// The edges of 8 kinds at 1,000 of 20,000 repositories, one edge of each kind
// at either end; and at 1,000 that have none, for what asking costs.
func BenchmarkEdgesAmong1000(b *testing.B) {
	const repos, bare = 20_000, 1000
	s, ctx := openBench(b), context.Background()
	fill(b, s, 1, repos+bare)
	q := graph.Question{Limit: graph.MaxPage}
	var steps []graph.Step
	for k := range 8 {
		q.Kinds = append(q.Kinds, graph.Kind(fmt.Sprint("KIND_", k)))
		for i := range repos {
			steps = append(steps, graph.Link(graph.Edge{EdgeKey: graph.EdgeKey{From: repo(i), Kind: q.Kinds[k], To: repo(i * 7919 % repos)}, Props: graph.Props{"url": "https://example.com/runbook"}}))
		}
		commit(b, s, graph.Batch{ID: fmt.Sprint(k), Time: noon, Steps: steps})
		steps = steps[:0]
	}
	b.Run("SameRowsAtOneNode", func(b *testing.B) {
		for range b.N {
			if _, err := s.Ask(ctx, graph.Question{Name: graph.EdgesTo, Ref: graph.Root, Kind: graph.ChildOf, Limit: 8000}); err != nil {
				b.Fatal(err)
			}
		}
	})
	for _, name := range []string{graph.EdgesOut, graph.EdgesIn} {
		for _, c := range []struct {
			name  string
			from  int
			limit int
		}{{"Whole", 0, graph.MaxPage}, {"Without", repos, graph.MaxPage}, {"PagesOf500", 0, 500}} {
			b.Run(name+c.name, func(b *testing.B) {
				q.Name, q.Limit, q.Refs = name, c.limit, nil
				for i := range 1000 {
					n := c.from + i
					if c.from == 0 {
						n = i * 17
					}
					q.Refs = append(q.Refs, repo(n))
				}
				n := 0
				for range b.N {
					for q.After = ""; ; {
						a, err := s.Ask(ctx, q)
						if err != nil {
							b.Fatal(err)
						}
						n += len(a.Edges)
						if q.After = a.Next; a.Next == "" {
							break
						}
					}
				}
				b.ReportMetric(float64(n)/float64(b.N), "edges")
			})
		}
	}
}
