package uploads_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"trellis/graph"
	"trellis/graph/identity"
	"trellis/storage/content"
	"trellis/storage/uploads"
)

// model is a graph of uploads and blobs, and what happened to it.
type model struct {
	nodes   map[graph.Ref]*graph.Node
	edges   map[graph.EdgeKey]*graph.Edge
	changes []graph.Change
}

var (
	modelTypes    = []string{"image/png", "image/jpeg", "application/pdf"}
	modelCreators = []graph.Ref{{Type: identity.User, ID: "ann"}, {Type: identity.ServiceAccount, ID: "ci"}}
	modelOrgs     = []string{"", "acme", "umbrella"}
)

// uploadNode draws an upload.
func uploadNode(t *rapid.T, id string) *graph.Node {
	p := graph.Props{
		identity.PropSize: rapid.Int64Range(0, 1000).Draw(t, "size"), identity.PropState: identity.StateReady,
		identity.PropContentType: rapid.SampledFrom(modelTypes).Draw(t, "type"),
		identity.PropCreator:     rapid.SampledFrom(modelCreators).Draw(t, "creator").String(),
		identity.PropOwner:       "project:" + rapid.SampledFrom([]string{"a", "b"}).Draw(t, "parent"),
	}
	if org := rapid.SampledFrom(modelOrgs).Draw(t, "organization"); org != "" {
		p["organization"] = org
	}
	if rapid.Bool().Draw(t, "pending") {
		p[identity.PropState], p[identity.PropDue] = identity.StatePending, int64(1_800_000_000_000)
	}
	return &graph.Node{Ref: upload(id), Props: p, Created: time.UnixMilli(1_700_000_000_000).UTC()}
}

// happen makes one change: what a batch did to some of the uploads and blobs.
func (m *model) happen(t *rapid.T) {
	ch := graph.Change{Revision: graph.Revision(len(m.changes) + 1), Time: time.UnixMilli(1_700_000_000_000 + int64(len(m.changes))).UTC()}
	var unlinked, deleted, put, linked []graph.Entry
	link := func(k graph.EdgeKey) {
		if m.edges[k] == nil {
			m.edges[k] = &graph.Edge{EdgeKey: k}
			linked = append(linked, graph.Entry{Edge: &graph.EdgeEntry{After: m.edges[k]}})
		}
	}
	write := func(n *graph.Node) {
		n.Revision = ch.Revision
		put = append(put, graph.Entry{Node: &graph.NodeEntry{Before: m.nodes[n.Ref], After: n}})
		m.nodes[n.Ref] = n
	}
	id := fmt.Sprintf("u%02d", rapid.IntRange(0, 12).Draw(t, "upload"))
	blob := graph.Ref{Type: identity.Blob, ID: fmt.Sprintf("b%d", rapid.IntRange(0, 3).Draw(t, "blob"))}
	switch rapid.IntRange(0, 4).Draw(t, "what") {
	case 0, 1: // an upload comes, or is another
		if m.nodes[blob] != nil && m.nodes[upload(id)] == nil {
			link(graph.EdgeKey{From: upload(id), Kind: identity.StoredAs, To: blob})
		}
		write(uploadNode(t, id))
	case 2: // an upload or a blob goes
		gone := rapid.SampledFrom([]graph.Ref{upload(id), blob}).Draw(t, "gone")
		if m.nodes[gone] == nil {
			break
		}
		for k, e := range m.edges {
			if k.From == gone || k.To == gone {
				unlinked = append(unlinked, graph.Entry{Edge: &graph.EdgeEntry{Before: e}})
				delete(m.edges, k)
			}
		}
		deleted = append(deleted, graph.Entry{Node: &graph.NodeEntry{Before: m.nodes[gone]}})
		delete(m.nodes, gone)
	case 3: // a blob comes
		if m.nodes[blob] == nil {
			write(&graph.Node{Ref: blob, Props: graph.Props{identity.PropSize: rapid.Int64Range(1, 9).Draw(t, "size")}, Created: ch.Time})
		}
	case 4: // acme has another icon
		for k, e := range m.edges {
			if k.Kind == identity.HasPicture {
				unlinked = append(unlinked, graph.Entry{Edge: &graph.EdgeEntry{Before: e}})
				delete(m.edges, k)
			}
		}
		if m.nodes[upload(id)] != nil {
			link(graph.EdgeKey{From: acme, Kind: identity.HasPicture, To: upload(id)})
		}
	}
	ch.Entries = slices.Concat(unlinked, deleted, put, linked)
	m.changes = append(m.changes, ch)
}

// load shows a new ledger what there is.
func (m *model) load(l *uploads.Ledger) {
	l.Begin()
	for _, n := range m.nodes {
		l.Node(n)
	}
	for _, e := range m.edges {
		l.Edge(e)
	}
	l.Ready(graph.Info{})
}

// A ledger that follows, from the start or from a load in between and in pieces
// of any size, knows what one knows that is loaded in the end; and it finds what
// a look at every upload finds.
func TestLedgerFollowsTheGraph(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := &model{nodes: map[graph.Ref]*graph.Node{}, edges: map[graph.EdgeKey]*graph.Edge{}}
		early, late, loaded := uploads.NewLedger(), uploads.NewLedger(), uploads.NewLedger()
		m.load(early)
		total := rapid.IntRange(0, 40).Draw(t, "changes")
		middle := rapid.IntRange(0, total).Draw(t, "middle")
		for range middle {
			m.happen(t)
		}
		m.load(late)
		for range total - middle {
			m.happen(t)
		}
		m.load(loaded)
		for rest := m.changes; len(rest) > 0; {
			n := rapid.IntRange(1, len(rest)).Draw(t, "at once")
			early.Apply(rest[:n])
			rest = rest[n:]
		}
		late.Apply(m.changes[middle:])
		for name, l := range map[string]*uploads.Ledger{"from the start": early, "from the middle": late} {
			if d := cmp.Diff(shown(loaded), shown(l)); d != "" {
				t.Errorf("%s (-loaded +followed):\n%s", name, d)
			}
		}
		m.finds(t, early)
	})
}

// finds compares lists with a look at every upload.
func (m *model) finds(t *rapid.T, l *uploads.Ledger) {
	pick := func(label string, some ...string) string { return rapid.SampledFrom(append(some, "")).Draw(t, label) }
	f := uploads.Filter{ContentType: pick("filter type", "image/png", "image/*", "text/*", "application/pdf"), Organization: pick("filter organization", "acme", "none")}
	if rapid.Bool().Draw(t, "by creator") {
		f.Creator = modelCreators[0]
	}
	if rapid.Bool().Draw(t, "by parent") {
		f.Parent = graph.Ref{Type: "project", ID: "a"}
	}
	if rapid.Bool().Draw(t, "by state") {
		pending := rapid.Bool().Draw(t, "pending")
		f.Pending = &pending
	}
	after := pick("after", "u03", "u05x", "z", "a")
	var want, got []string
	for r, n := range m.nodes {
		typ := n.Props.String(identity.PropContentType)
		if r.Type == identity.Upload && r.ID > after &&
			(f.ContentType == "" || typ == f.ContentType || strings.HasSuffix(f.ContentType, "/*") && strings.HasPrefix(typ, strings.TrimSuffix(f.ContentType, "*"))) &&
			(f.Organization == "" || n.Props.String("organization") == f.Organization) &&
			(f.Creator.IsZero() || n.Props.String(identity.PropCreator) == f.Creator.String()) &&
			(f.Parent.IsZero() || n.Props.String(identity.PropOwner) == f.Parent.String()) &&
			(f.Pending == nil || *f.Pending == (n.Props.String(identity.PropState) == identity.StatePending)) {
			want = append(want, r.ID)
		}
	}
	slices.Sort(want)
	l.Find(f, after, func(id string) bool {
		got = append(got, id)
		return true
	})
	if !slices.Equal(got, want) {
		t.Errorf("%+v after %q finds %v, want %v", f, after, got, want)
	}
	got = nil
	l.Find(f, after, func(id string) bool {
		got = append(got, id)
		return len(got) < 2
	})
	if !slices.Equal(got, want[:min(2, len(want))]) {
		t.Errorf("the first two are %v of %v", got, want)
	}
}

// Many send at once to where there is room for three.
func TestQuotaIsNeverExceeded(t *testing.T) {
	size := int64(len(picture(100)))
	for name, o := range map[string]uploads.Options{
		"organization": {OrganizationQuota: 3*size + size/2},
		"creator":      {CreatorQuota: 3*size + size/2},
	} {
		t.Run(name, func(t *testing.T) {
			w := settledSite(t).start(t, setup{Options: o})
			account := map[string]graph.Ref{"organization": acme, "creator": root}[name]
			var all sync.WaitGroup
			var kept atomic.Int64
			for i := range 10 {
				all.Go(func() {
					_, err := w.add(uploads.Incoming{}, picture(100+i))
					var over *uploads.QuotaError
					switch {
					case err == nil:
						kept.Add(1)
					case !errors.As(err, &over) || over.Account != account || over.Size != size || over.Used+size <= over.Limit:
						t.Errorf("%v", err)
					}
				})
			}
			all.Wait()
			// One that is written counts twice for a moment: better too few than too many.
			if kept.Load() < 1 || kept.Load() > 3 {
				t.Errorf("%d were kept", kept.Load())
			}
			for i := range 5 {
				_, err := w.add(uploads.Incoming{}, picture(200+i))
				if err == nil {
					kept.Add(1)
				}
				if full := kept.Load() == 3; err != nil && !full {
					t.Errorf("with %d kept: %v", kept.Load(), err)
				}
			}
			if used := w.ledger.Used(account); kept.Load() != 3 || used != 3*size {
				t.Errorf("%d were kept, with %d bytes", kept.Load(), used)
			}
			_, err := w.announce("more", picture(300))
			var over *uploads.QuotaError
			if !errors.As(err, &over) {
				t.Errorf("announced: %v", err)
			}
			w.isCurrent(t)
		})
	}
}

// What fails gives back what it had reserved, however it fails.
func TestFailuresReserveNothing(t *testing.T) {
	good, bad := picture(1), bytes.Repeat([]byte("bad"), 20)
	f := &faults{at: func(int, moment, string) {}}
	w := settledSite(t).start(t, setup{faults: f, Options: uploads.Options{OrganizationQuota: int64(len(good)), CreatorQuota: int64(len(good))}})
	for range 20 {
		var refusal *content.Refusal
		if _, err := w.add(uploads.Incoming{}, bad); !errors.As(err, &refusal) {
			t.Errorf("not an image: %v", err)
		}
		if _, err := w.add(uploads.Incoming{Parent: graph.Ref{Type: identity.Organization, ID: "none"}}, good); graph.KindOf(err) != graph.NotFound {
			t.Errorf("to nothing: %v", err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		f.at = func(int, moment, string) { cancel() }
		f.on.Store(true)
		b, err := w.spooled(good)
		must(t, err)
		if _, err := w.Add(ctx, admin, uploads.Incoming{ID: "canceled", Name: "x", Parent: acme, Bytes: b}, idApply); err == nil {
			t.Error("it was canceled in the middle, but stored")
		}
		f.on.Store(false)
		must(t, b.Close())
	}
	w.mustAdd(t, good)
	w.isSwept(t)
	w.isCurrent(t)
}

var idApply = identity.ApplyOptions{}
