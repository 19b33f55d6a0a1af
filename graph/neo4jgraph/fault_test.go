package neo4jgraph_test

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"trellis/graph"
	"trellis/graph/neo4jgraph"
	"trellis/graph/neo4jgraph/neo4jtest"
)

// A cutter passes Bolt through and breaks the connection at a COMMIT: before
// the server gets it, or after the server has answered it.
type cutter struct {
	target string
	before atomic.Int32 // how many COMMITs still to cut off before the server
	after  atomic.Int32 // and how many answers to keep back
	cuts   atomic.Int32
}

// commitMessage is Bolt's COMMIT in its one chunk.
var commitMessage = []byte{0, 2, 0xb0, 0x12, 0, 0}

func (c *cutter) listen(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			client, err := l.Accept()
			if err != nil {
				return
			}
			go c.serve(client)
		}
	}()
	return l.Addr().String()
}

func (c *cutter) serve(client net.Conn) {
	server, err := net.Dial("tcp", c.target)
	if err != nil {
		client.Close()
		return
	}
	var keep atomic.Bool
	go func() {
		buf := make([]byte, 64<<10)
		for {
			n, err := server.Read(buf)
			if err != nil || keep.Load() {
				break
			}
			if _, err := client.Write(buf[:n]); err != nil {
				break
			}
		}
		client.Close()
		server.Close()
	}()
	buf := make([]byte, 64<<10)
	for {
		n, err := client.Read(buf)
		if err != nil {
			break
		}
		if bytes.Contains(buf[:n], commitMessage) {
			if c.before.Add(-1) >= 0 {
				c.cuts.Add(1)
				break
			}
			if c.after.Add(-1) >= 0 {
				c.cuts.Add(1)
				keep.Store(true)
			}
		}
		if _, err := server.Write(buf[:n]); err != nil {
			break
		}
	}
	client.Close()
	server.Close()
}

// A commit whose answer is lost happens once, whether the server got it or not.
func TestLostAnswerOfCommit(t *testing.T) {
	u := serverURL(t)
	parsed, err := url.Parse(u)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name          string
		before, after int32
	}{{"CommittedAnswerLost", 0, 1}, {"NeverArrived", 1, 0}, {"LostTwice", 0, 2}, {"NeverArrivedThenLost", 1, 1}} {
		t.Run(c.name, func(t *testing.T) {
			neo4jtest.Wipe(t, u)
			cut := &cutter{target: parsed.Host}
			through := *parsed
			through.Host = cut.listen(t)
			s := open(t, through.String())
			defer s.Close()
			ctx := context.Background()
			if _, err := s.Info(ctx); err != nil {
				t.Fatal(err)
			}
			cut.before.Store(c.before)
			cut.after.Store(c.after)
			var group []graph.Batch
			for i := range 3 {
				b := benchBatch(graph.RequireAbsent(benchRef("doc", i%2)), graph.Put(graph.Node{Ref: benchRef("doc", i%2)}))
				b.ID = fmt.Sprintf("%s-%d", c.name, i)
				group = append(group, b)
			}
			dry := benchBatch(graph.Delete(benchRef("doc", 0)))
			dry.ID, dry.Dry = c.name+"-dry", true
			results, err := s.Commit(ctx, append(group, dry))
			if err != nil {
				t.Fatal(err)
			}
			if d := results[3]; d.Revision != 3 || d.Err != nil || d.Change == nil {
				t.Errorf("the dry one: %+v", d)
			}
			// The third is refused because of the first, not because of an earlier attempt.
			if results[0].Revision != 1 || results[0].Err != nil || results[1].Revision != 2 || results[1].Err != nil || graph.KindOf(results[2].Err) != graph.Exists {
				t.Errorf("results %+v", results)
			}
			changes, err := s.Changes(ctx, 0, 10)
			if err != nil || len(changes) != 2 || changes[0].ID != group[0].ID || changes[1].ID != group[1].ID {
				t.Errorf("%v: changes %+v", err, changes)
			}
			if cut.cuts.Load() == 0 {
				t.Error("no connection was cut: the test has lost its point")
			}
		})
	}
}

// services starts, stops and kills a Neo4j of this test's own.
type services struct {
	t    *testing.T
	env  []string
	tool string
	url  string
}

func ownServer(t *testing.T) *services {
	t.Helper()
	serverURL(t) // asked for real engines at all
	if testing.Short() {
		t.Skip("starts a Neo4j of its own, which takes a while")
	}
	tool, err := filepath.Abs("../../scripts/services")
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_, port, _ := net.SplitHostPort(l.Addr().String())
	l.Close()
	v := &services{t: t, tool: tool, url: "bolt://127.0.0.1:" + port}
	v.env = append(os.Environ(), "TRELLIS_SERVICES_DIR="+t.TempDir(), "TRELLIS_SERVICES_NEO4J_PORT="+port, "TRELLIS_SERVICES_NEO4J_PASSWORD=", "TRELLIS_SERVICES_NEO4J_HEAP=512m")
	return v
}

func (v *services) run(action string) error {
	cmd := exec.Command(v.tool, action, "neo4j")
	cmd.Env = v.env
	out, err := cmd.CombinedOutput()
	if err != nil {
		return fmt.Errorf("services %s: %w\n%s", action, err, out)
	}
	return nil
}

// Two processes write while the server comes up late, is killed and comes
// back: nothing acknowledged is lost, nothing happens twice, and both go on.
func TestServerKilledWhileWriting(t *testing.T) {
	v := ownServer(t)
	open := func() *neo4jgraph.Store {
		s, err := neo4jgraph.Open(v.url, neo4jgraph.Options{RetryFor: 2 * time.Second, CallTimeout: 20 * time.Second})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { s.Close() })
		return s
	}
	stores := []*neo4jgraph.Store{open(), open()}
	if _, err := stores[0].Info(context.Background()); graph.KindOf(err) != graph.Unavailable {
		t.Errorf("before the server is there: %v", err)
	}
	t.Cleanup(func() {
		if err := v.run("wipe"); err != nil {
			t.Error(err)
		}
	})
	if err := v.run("up"); err != nil {
		if strings.Contains(err.Error(), "is not installed") {
			t.Skipf("no Neo4j of its own can be started: %v", err)
		}
		t.Fatal(err)
	}
	w := &writers{t: t, acked: map[string]graph.Revision{}}
	ctx, stop := context.WithCancel(context.Background())
	for i, s := range stores {
		w.wg.Go(func() { w.write(ctx, s, i) })
	}
	w.until(func() bool { return w.count() >= 60 }, "writes before the kill")
	if err := v.run("kill"); err != nil {
		t.Fatal(err)
	}
	if err := v.run("up"); err != nil {
		t.Fatal(err)
	}
	atStart := w.count()
	w.until(func() bool { return w.count() >= atStart+60 }, "writes after the restart")
	stop()
	w.wg.Wait()
	w.verify(open())
}

type writers struct {
	t     *testing.T
	wg    sync.WaitGroup
	mu    sync.Mutex
	acked map[string]graph.Revision // by batch id
}

func (w *writers) count() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.acked)
}

func (w *writers) until(done func() bool, what string) {
	w.t.Helper()
	for range 600 {
		if done() {
			return
		}
		time.Sleep(100 * time.Millisecond)
	}
	w.t.Fatalf("no %s within a minute", what)
}

// write commits groups of 3 until ctx ends. What is refused or fails is not
// repeated: its outcome is unknown, and it must have happened once or never.
func (w *writers) write(ctx context.Context, s *neo4jgraph.Store, writer int) {
	for n := 0; ctx.Err() == nil; n++ {
		var group []graph.Batch
		for i := range 3 {
			ref := graph.Ref{Type: "doc", ID: fmt.Sprintf("%d-%06d-%d", writer, n, i)}
			b := benchBatch(graph.RequireAbsent(ref), graph.Put(graph.Node{Ref: ref}), graph.Link(graph.Edge{EdgeKey: graph.EdgeKey{From: ref, Kind: graph.ChildOf, To: graph.Root}}))
			b.ID = ref.ID
			group = append(group, b)
		}
		results, err := s.Commit(context.Background(), group)
		if err != nil {
			if graph.KindOf(err) != graph.Unavailable {
				w.t.Errorf("writer %d: %v (%s)", writer, err, graph.KindOf(err))
			}
			time.Sleep(50 * time.Millisecond)
			continue
		}
		w.mu.Lock()
		for i, r := range results {
			if r.Err != nil {
				w.t.Errorf("%s was refused: %v: it happened before", group[i].ID, r.Err)
			}
			w.acked[group[i].ID] = r.Revision
		}
		w.mu.Unlock()
	}
}

func (w *writers) verify(s *neo4jgraph.Store) {
	w.t.Helper()
	ctx := context.Background()
	info, err := s.Info(ctx)
	if err != nil {
		w.t.Fatal(err)
	}
	there := map[string]graph.Revision{}
	for after := graph.Revision(0); after < info.Head; {
		list, err := s.Changes(ctx, after, 1000)
		if err != nil || len(list) == 0 {
			w.t.Fatalf("changes after %d: %d, %v", after, len(list), err)
		}
		for _, c := range list {
			if c.Revision != after+1 || there[c.ID] != 0 {
				w.t.Fatalf("revision %d after %d, batch %s, there before at %d", c.Revision, after, c.ID, there[c.ID])
			}
			there[c.ID], after = c.Revision, c.Revision
		}
	}
	for id, rev := range w.acked {
		if there[id] != rev {
			w.t.Errorf("%s was acknowledged at %d and is at %d", id, rev, there[id])
		}
	}
	nodes, edges := 0, 0
	_, err = s.Export(ctx, func(r graph.Record) error {
		if r.Node != nil {
			nodes++
		} else {
			edges++
		}
		return nil
	})
	if err != nil || nodes != len(there)+3 || edges != len(there) {
		w.t.Errorf("%v: %d nodes and %d edges of %d changes", err, nodes, edges, len(there))
	}
	w.t.Logf("%d writes acknowledged, %d there", len(w.acked), len(there))
}
