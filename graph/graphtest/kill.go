package graphtest

import (
	"bufio"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"trellis/graph"
)

// Killed runs as the child process of RunKilled: it writes groups of batches
// to the store until it is killed, and says on standard output which
// revisions were acknowledged. Call it from TestMain, before flags are read,
// when KillAddress gives an address.
func Killed(s graph.Store, out *os.File) error {
	ctx := context.Background()
	life := strconv.FormatInt(time.Now().UnixNano(), 36)
	for round := 0; ; round++ {
		var group []graph.Batch
		for i := range 1 + round%7 {
			group = append(group, killBatch(life, round, i))
		}
		for i := range group {
			if err := group[i].Validate(); err != nil {
				return err
			}
		}
		results, err := s.Commit(ctx, group)
		if err != nil {
			return err
		}
		var line strings.Builder
		for i, res := range results {
			if res.Err != nil {
				return res.Err
			}
			fmt.Fprintf(&line, "%d %s\n", res.Revision, group[i].ID)
		}
		if _, err := out.WriteString(line.String()); err != nil {
			return err
		}
	}
}

// killBatch writes a node, an edge to one node that all batches share, and a
// number in that node, so that a half-done batch would show.
func killBatch(life string, round, i int) graph.Batch {
	n := graph.Ref{Type: "doc", ID: fmt.Sprintf("%s-%d-%d", life, round, i)}
	hub := graph.Ref{Type: "hub", ID: "hub"}
	return graph.Batch{
		ID: n.ID, Actor: n, Time: time.UnixMilli(1_700_000_000_000).UTC(),
		Steps: []graph.Step{
			graph.RequireAbsent(n),
			graph.Put(graph.Node{Ref: n, Names: []string{"name:" + n.ID}, Props: graph.Props{"text": strings.Repeat(n.ID, 20)}}),
			graph.Put(graph.Node{Ref: hub, Props: graph.Props{"last": n.ID}}),
			link(n, "K", hub),
		},
	}
}

// killAddress names the environment variable that makes a test binary the child.
const killAddress = "TRELLIS_TEST_KILLED"

// KillAddress returns where the child is to open the store, and whether this
// process is the child.
func KillAddress() (address string, ok bool) { return os.LookupEnv(killAddress) }

// RunKilled starts this test binary again and again as a child that writes to
// the store at the address, kills it in the middle, and looks whether all
// that it was told to be written is there. TestMain must hand the child to
// Killed. open opens the store at the same address in this process.
func RunKilled(t *testing.T, address string, rounds int, open Place) {
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	acked := map[graph.Revision]string{}
	for round := range rounds {
		before := len(acked)
		killOnce(t, exe, address, time.Duration(20+rand.IntN(150))*time.Millisecond, acked)
		if len(acked) == before {
			t.Errorf("round %d: nothing was acknowledged", round)
		}
		verifyKilled(t, open, acked)
	}
	t.Logf("%d batches acknowledged in %d rounds", len(acked), rounds)
}

// killOnce lets a child write until some time after its first acknowledgement.
func killOnce(t *testing.T, exe, address string, after time.Duration, acked map[graph.Revision]string) {
	t.Helper()
	cmd := exec.Command(exe)
	cmd.Env = append(os.Environ(), killAddress+"="+address)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	// A child that never gets that far must not stay.
	hang := time.AfterFunc(time.Minute, func() { cmd.Process.Kill() })
	defer hang.Stop()
	lines := bufio.NewReader(out)
	for first := true; ; first = false {
		line, err := lines.ReadString('\n')
		if err != nil {
			break // a line that was cut off acknowledges nothing
		}
		if first {
			kill := time.AfterFunc(after, func() { cmd.Process.Kill() })
			defer kill.Stop()
		}
		number, id, _ := strings.Cut(strings.TrimSpace(line), " ")
		rev, err := strconv.ParseInt(number, 10, 64)
		if err != nil {
			t.Errorf("the child says %q", line)
			continue
		}
		if old := acked[graph.Revision(rev)]; old != "" {
			t.Errorf("revision %d was acknowledged for %s and for %s", rev, old, id)
		}
		acked[graph.Revision(rev)] = id
	}
	if err := cmd.Wait(); err == nil || !strings.Contains(err.Error(), "killed") {
		t.Errorf("the child was not killed, it ended: %v", err)
	}
}

// verifyKilled looks at every change since the beginning, and at what the
// changes amount to.
func verifyKilled(t *testing.T, open Place, acked map[graph.Revision]string) {
	t.Helper()
	ctx, s := context.Background(), open(t)
	defer s.Close()
	info, err := s.Info(ctx)
	if err != nil {
		t.Fatal(err)
	}
	ids := map[string]graph.Revision{}
	last := ""
	for rev := graph.Revision(0); rev < info.Head; {
		list, err := s.Changes(ctx, rev, 1000)
		if err != nil || len(list) == 0 {
			t.Fatalf("changes after %d of %d: %d, %v", rev, info.Head, len(list), err)
		}
		for _, c := range list {
			if rev++; c.Revision != rev || len(c.Entries) != 3 {
				t.Fatalf("change %d with %d entries where %d is due", c.Revision, len(c.Entries), rev)
			}
			if id := acked[rev]; id != "" && id != c.ID {
				t.Errorf("revision %d is %s, acknowledged for %s", rev, c.ID, id)
			}
			ids[c.ID], last = rev, c.ID
		}
	}
	for rev, id := range acked {
		if ids[id] != rev {
			t.Errorf("revision %d (%s) was acknowledged and is not there", rev, id)
		}
	}
	nodes, edges := 0, 0
	_, err = s.Export(ctx, func(rec graph.Record) error {
		switch {
		case rec.Edge != nil:
			edges++
			if ids[rec.Edge.From.ID] != rec.Edge.Revision {
				t.Errorf("%s has revision %d", rec.Edge.EdgeKey, rec.Edge.Revision)
			}
		case rec.Node.Ref.Type == "doc":
			nodes++
			if ids[rec.Node.Ref.ID] != rec.Node.Revision {
				t.Errorf("%s has revision %d", rec.Node.Ref, rec.Node.Revision)
			}
		case rec.Node.Ref.Type == "hub":
			if rec.Node.Props.String("last") != last {
				t.Errorf("the hub was last written by %s, not by %s", rec.Node.Props.String("last"), last)
			}
		}
		return nil
	})
	if err != nil || nodes != len(ids) || edges != len(ids) {
		t.Errorf("%d nodes, %d edges, %d changes, %v", nodes, edges, len(ids), err)
	}
}
