package neo4jgraph_test

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/neo4j/neo4j-go-driver/v5/neo4j"

	"trellis/graph"
	"trellis/graph/neo4jgraph"
	"trellis/graph/neo4jgraph/neo4jtest"
)

const (
	benchUsers = 2_000
	benchRepos = 500
	benchRoles = 16
)

func benchRef(t graph.Type, i int) graph.Ref {
	return graph.Ref{Type: t, ID: fmt.Sprintf("%05d", i)}
}

func benchBatch(steps ...graph.Step) graph.Batch {
	return graph.Batch{ID: fmt.Sprint(time.Now().UnixNano(), len(steps)), Actor: graph.Ref{Type: "user", ID: "bench"}, Time: time.Now().UTC().Truncate(time.Millisecond), Steps: steps}
}

// mustCommit commits a group of which nothing may be refused.
func mustCommit(t testing.TB, s *neo4jgraph.Store, group ...graph.Batch) []graph.Result {
	t.Helper()
	for i := range group {
		if err := group[i].Validate(); err != nil {
			t.Fatal(err)
		}
	}
	results, err := s.Commit(context.Background(), group)
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range results {
		if r.Err != nil {
			t.Fatal(r.Err)
		}
	}
	return results
}

// organization is a graph the size of the Kubernetes organizations: about
// 2,700 nodes and 10,000 edges.
func organization() []graph.Step {
	org := graph.Ref{Type: "organization", ID: "kubernetes"}
	steps := []graph.Step{graph.Put(graph.Node{Ref: org, Names: []string{"slug:organization:kubernetes"}})}
	link := func(from graph.Ref, k graph.Kind, to graph.Ref, key string, p graph.Props) {
		steps = append(steps, graph.Link(graph.Edge{EdgeKey: graph.EdgeKey{From: from, Kind: k, To: to, Key: key}, Props: p}))
	}
	link(org, graph.ChildOf, graph.Root, "", nil)
	for i := range benchRoles {
		r := benchRef("role", i)
		steps = append(steps, graph.Put(graph.Node{Ref: r, Props: graph.Props{"slug": r.ID}}))
		link(r, graph.ChildOf, graph.Root, "", nil)
	}
	perm := graph.Ref{Type: "permission", ID: "repo:read"}
	steps = append(steps, graph.Put(graph.Node{Ref: perm}))
	link(benchRef("role", 0), graph.Grants, perm, "", nil)
	for i := range 200 {
		team := benchRef("team", i)
		steps = append(steps, graph.Put(graph.Node{Ref: team, Names: []string{"slug:team:kubernetes/" + team.ID}, Props: graph.Props{"slug": team.ID, "name": "Team " + team.ID}}))
		link(team, graph.ChildOf, org, "", nil)
		if i > 0 {
			link(team, graph.MemberOf, benchRef("team", i/4), "", nil)
		}
	}
	for i := range benchRepos {
		repo := benchRef("repo", i)
		steps = append(steps, graph.Put(graph.Node{Ref: repo, Props: graph.Props{"name": repo.ID, "archived": false}}))
		link(repo, graph.ChildOf, org, "", nil)
		for j := range 4 {
			role := benchRef("role", j)
			link(benchRef("team", (i+j*37)%200), graph.CanAccess, repo, role.ID, graph.Props{"role": role.ID})
		}
	}
	for i := range benchUsers {
		user := benchRef("user", i)
		steps = append(steps, graph.Put(graph.Node{Ref: user, Names: []string{"email:" + user.ID + "@example.com"}, Props: graph.Props{"name": "User " + user.ID, "email": user.ID + "@example.com"}}))
		link(user, graph.ChildOf, graph.Root, "", nil)
		link(user, graph.MemberOf, org, "", nil)
		link(user, graph.MemberOf, benchRef("team", i%200), "", nil)
	}
	return steps
}

// The edges of 8 kinds at 1,000 of 5,000 repositories, one edge of each kind at
// either end, and, to compare, as many edges at one node.
func BenchmarkEdgesAmong1000(b *testing.B) {
	u := serverURL(b)
	neo4jtest.Wipe(b, u)
	s, ctx := open(b, u), context.Background()
	defer s.Close()
	const repos = 5000
	q := graph.Question{Limit: graph.MaxPage}
	var steps []graph.Step
	for i := range repos {
		steps = append(steps, graph.Put(graph.Node{Ref: benchRef("repo", i)}))
	}
	for i := range 2 * repos {
		steps = append(steps, graph.Link(graph.Edge{EdgeKey: graph.EdgeKey{From: benchRef("repo", i/2), Kind: graph.ChildOf, To: graph.Root, Key: fmt.Sprint(i % 2)}}))
	}
	mustCommit(b, s, benchBatch(steps...))
	for k := range 8 {
		q.Kinds = append(q.Kinds, graph.Kind(fmt.Sprint("KIND_", k)))
		steps = nil
		for i := range repos {
			steps = append(steps, graph.Link(graph.Edge{EdgeKey: graph.EdgeKey{From: benchRef("repo", i), Kind: q.Kinds[k], To: benchRef("repo", i*1009%repos)}, Props: graph.Props{"url": "https://example.com/runbook"}}))
		}
		mustCommit(b, s, benchBatch(steps...))
	}
	for i := range 1000 {
		q.Refs = append(q.Refs, benchRef("repo", i*3))
	}
	for _, q := range []graph.Question{
		{Name: graph.EdgesTo, Ref: graph.Root, Kind: graph.ChildOf, Limit: 8000},
		{Name: graph.EdgesOut, Refs: q.Refs, Kinds: q.Kinds, Limit: q.Limit}, {Name: graph.EdgesIn, Refs: q.Refs, Kinds: q.Kinds, Limit: q.Limit},
	} {
		b.Run(q.Name, func(b *testing.B) {
			for range b.N {
				if a, err := s.Ask(ctx, q); err != nil || len(a.Edges) != 8000 {
					b.Fatal(len(a.Edges), err)
				}
			}
		})
	}
}

// load writes the organization in batches of 10,000 steps.
func load(t testing.TB, s *neo4jgraph.Store) {
	t.Helper()
	for chunk := range slices.Chunk(organization(), 10_000) {
		mustCommit(t, s, benchBatch(chunk...))
	}
}

func median(list []time.Duration) time.Duration {
	slices.Sort(list)
	return list[len(list)/2]
}

// BenchmarkGrantGroups compares Commit with the bare driver, in one run and by
// turns: groups of 16 grants, each at a role's revision, against the same
// edges created in one UNWIND after a lock node was taken, without a record of
// the change (raw) and with one of the same size (logged). One operation is
// one round of all three.
func BenchmarkGrantGroups(b *testing.B) {
	const group, groups = 16, 5
	u := serverURL(b)
	neo4jtest.Wipe(b, u)
	s := open(b, u)
	defer s.Close()
	load(b, s)
	refs := make([]graph.Ref, benchRoles)
	for i := range refs {
		refs[i] = benchRef("role", i)
	}
	roles, err := s.Nodes(context.Background(), refs)
	if err != nil {
		b.Fatal(err)
	}
	session := neo4jtest.Session(b, u)
	next := 0
	grant := func() graph.Edge {
		next++
		role := benchRef("role", next/benchUsers%benchRoles)
		return graph.Edge{EdgeKey: graph.EdgeKey{From: benchRef("user", next%benchUsers), Kind: graph.CanAccess, To: benchRef("repo", next/7%benchRepos), Key: role.ID},
			Props: graph.Props{"role": role.ID, "granted_by": "user:00001", "granted_at": time.Now().UnixMilli()}}
	}
	ours := func() {
		var batches []graph.Batch
		for range group {
			e := grant()
			role := roles[next/benchUsers%benchRoles]
			batches = append(batches, benchBatch(graph.RequireAt(role.Ref, role.Revision), graph.Link(e)))
			batches[len(batches)-1].ID += fmt.Sprint("-", next)
		}
		mustCommit(b, s, batches...)
	}
	raw := func(record string) {
		var rows []any
		for range group {
			e := grant()
			rows = append(rows, map[string]any{"from": e.From.String(), "to": e.To.String(), "props": map[string]any{
				"key": e.Key, "role": e.Key, "granted_by": "user:00001", "granted_at": time.Now().UnixMilli(), "created_at": int64(1), "updated_at": int64(1), "revision": int64(1)},
				"record": map[string]any{"revision": next, "id": fmt.Sprint(next), "time": int64(1), "data": strings.Repeat("x", 400)}})
		}
		rawGrants(b, session, rows, record)
	}
	bare := func() { raw("") }
	logged := func() { raw(" CREATE (c:_RawChange) SET c = row.record") }
	round := func(f func()) time.Duration {
		start := time.Now()
		for range groups {
			f()
		}
		return time.Since(start) / groups
	}
	round(ours)
	round(bare)
	round(logged)
	var a, c, d []time.Duration
	for b.Loop() {
		a, c, d = append(a, round(ours)), append(c, round(bare)), append(d, round(logged))
	}
	ma, mc, md := median(a), median(c), median(d)
	b.ReportMetric(group/ma.Seconds(), "store-grants/s")
	b.ReportMetric(group/mc.Seconds(), "raw-grants/s")
	b.ReportMetric(group/md.Seconds(), "logged-grants/s")
	b.ReportMetric(mc.Seconds()/ma.Seconds(), "of-raw")
	b.ReportMetric(md.Seconds()/ma.Seconds(), "of-logged")
}

func rawGrants(t testing.TB, session neo4j.SessionWithContext, rows []any, record string) {
	ctx := context.Background()
	tx, err := session.BeginTransaction(ctx)
	if err != nil {
		t.Fatal(err)
	}
	for _, q := range []string{
		"MERGE (l:_RawLock {key: 'lock'}) SET l.n = coalesce(l.n, 0) + 1 RETURN l.n",
		"UNWIND $rows AS row MATCH (a:Entity {key: row.from}) MATCH (b:Entity {key: row.to}) CREATE (a)-[r:CAN_ACCESS]->(b) SET r = row.props" + record,
	} {
		result, err := tx.Run(ctx, q, map[string]any{"rows": rows})
		if err == nil {
			_, err = result.Consume(ctx)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := tx.Commit(ctx); err != nil {
		t.Fatal(err)
	}
}

// BenchmarkImport compares Import with the bare driver, by turns: the same
// nodes and edges created by UNWIND in batches of 5,000, on the same indexes.
func BenchmarkImport(b *testing.B) {
	u := serverURL(b)
	records := manyRecords()
	var ours, raw []time.Duration
	for b.Loop() {
		neo4jtest.Wipe(b, u)
		s := open(b, u)
		if _, err := s.Info(context.Background()); err != nil {
			b.Fatal(err)
		}
		start, i := time.Now(), 0
		err := s.Import(context.Background(), 1, func() (graph.Record, error) {
			if i++; i > len(records) {
				return graph.Record{}, io.EOF
			}
			return records[i-1], nil
		})
		if err != nil {
			b.Fatal(err)
		}
		ours = append(ours, time.Since(start))
		s.Close()
		neo4jtest.Wipe(b, u)
		session := neo4jtest.Session(b, u)
		start = time.Now()
		rawImport(b, session, records)
		raw = append(raw, time.Since(start))
	}
	mo, mr := median(ours), median(raw)
	b.ReportMetric(float64(len(records))/mo.Seconds(), "import-records/s")
	b.ReportMetric(float64(len(records))/mr.Seconds(), "raw-records/s")
	b.ReportMetric(mr.Seconds()/mo.Seconds(), "ratio")
}

// manyRecords are 10,000 users in 100 teams, with 2 edges each.
func manyRecords() []graph.Record {
	at := time.UnixMilli(1).UTC()
	var nodes, edges []graph.Record
	node := func(r graph.Ref) {
		nodes = append(nodes, graph.Record{Node: &graph.Node{Ref: r, Props: graph.Props{"name": r.ID}, Created: at, Updated: at, Revision: 1}})
	}
	edge := func(from graph.Ref, k graph.Kind, to graph.Ref) {
		edges = append(edges, graph.Record{Edge: &graph.Edge{EdgeKey: graph.EdgeKey{From: from, Kind: k, To: to}, Created: at, Updated: at, Revision: 1}})
	}
	for i := range 100 {
		node(benchRef("team", i))
	}
	for i := range 10_000 {
		node(benchRef("user", i))
		edge(benchRef("user", i), graph.ChildOf, benchRef("team", 99))
	}
	for i := range 10_000 {
		edge(benchRef("user", i), graph.MemberOf, benchRef("team", i%100))
	}
	return append(nodes, edges...)
}

func rawImport(t testing.TB, session neo4j.SessionWithContext, records []graph.Record) {
	var rows []any
	statement := ""
	flush := func(next string) {
		if len(rows) > 0 && (next != statement || len(rows) == 5_000) {
			result, err := session.Run(context.Background(), statement, map[string]any{"rows": rows})
			if err == nil {
				_, err = result.Consume(context.Background())
			}
			if err != nil {
				t.Fatal(err)
			}
			rows = nil
		}
		statement = next
	}
	for _, r := range records {
		if n := r.Node; n != nil {
			flush("UNWIND $rows AS row CREATE (n:Entity:" + neo4jgraph.Label(n.Ref.Type) + ") SET n = row")
			rows = append(rows, map[string]any{"key": n.Ref.String(), "type": string(n.Ref.Type), "id": n.Ref.ID, "name": n.Ref.ID, "created_at": 1, "updated_at": 1, "revision": 1})
			continue
		}
		flush("UNWIND $rows AS row MATCH (a:Entity {key: row.from}) MATCH (b:Entity {key: row.to}) CREATE (a)-[r:" + string(r.Edge.Kind) + "]->(b) SET r = row.props")
		rows = append(rows, map[string]any{"from": r.Edge.From.String(), "to": r.Edge.To.String(), "props": map[string]any{"key": "", "created_at": 1, "updated_at": 1, "revision": 1}})
	}
	flush("")
}

// BenchmarkOrganization loads a whole organization by Commit, exports it and
// imports it again.
func BenchmarkOrganization(b *testing.B) {
	u := serverURL(b)
	var loads, exports, imports []time.Duration
	for b.Loop() {
		neo4jtest.Wipe(b, u)
		s := open(b, u)
		if _, err := s.Info(context.Background()); err != nil {
			b.Fatal(err)
		}
		start := time.Now()
		load(b, s)
		loads = append(loads, time.Since(start))
		start = time.Now()
		var records []graph.Record
		info, err := s.Export(context.Background(), func(r graph.Record) error {
			records = append(records, copyRecord(r))
			return nil
		})
		if err != nil {
			b.Fatal(err)
		}
		exports = append(exports, time.Since(start))
		neo4jtest.Wipe(b, u)
		i := 0
		s.Close()
		s = open(b, u)
		start = time.Now()
		err = s.Import(context.Background(), info.Head, func() (graph.Record, error) {
			if i++; i > len(records) {
				return graph.Record{}, io.EOF
			}
			return records[i-1], nil
		})
		if err != nil {
			b.Fatal(err)
		}
		imports = append(imports, time.Since(start))
		s.Close()
	}
	b.ReportMetric(median(loads).Seconds(), "load-s")
	b.ReportMetric(median(exports).Seconds(), "export-s")
	b.ReportMetric(median(imports).Seconds(), "import-s")
}

func copyRecord(r graph.Record) graph.Record {
	if r.Node != nil {
		n := *r.Node
		return graph.Record{Node: &n}
	}
	e := *r.Edge
	return graph.Record{Edge: &e}
}

func BenchmarkCheck(b *testing.B) {
	u := serverURL(b)
	neo4jtest.Wipe(b, u)
	s := open(b, u)
	defer s.Close()
	load(b, s)
	var took []time.Duration
	i := 0
	for b.Loop() {
		i++
		start := time.Now()
		_, err := s.Check(context.Background(), graph.CheckQuery{Subject: benchRef("user", i*31%benchUsers), Permission: "repo:read", Resource: benchRef("repo", i*17%benchRepos), At: time.Now()})
		if err != nil {
			b.Fatal(err)
		}
		took = append(took, time.Since(start))
	}
	b.ReportMetric(float64(median(took).Microseconds()), "p50-us")
	b.ReportMetric(float64(took[len(took)*99/100].Microseconds()), "p99-us")
}
