package uploads

import (
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"trellis/graph"
	"trellis/graph/identity"
)

// Ledger is a replica of the graph that knows of every upload what lists ask
// for, how much organizations and people have stored, and which blobs nothing
// leads to. It is safe for concurrent use.
type Ledger struct {
	mu      sync.RWMutex
	now     *book
	loading *book
	// reserved is what is about to be stored, by whom it counts for.
	reserved map[graph.Ref]int64
}

// book is the state of a ledger.
type book struct {
	uploads map[string]*Entry
	order   []*Entry // the same, in byte order of their ids
	pending map[string]*Entry
	used    map[graph.Ref]int64
	blobs   map[string]*blob
	loose   map[string]*blob  // those of blobs that nothing leads to
	bytes   int64             // of all blobs
	stored  map[string]string // from uploads to their blobs
	// pictures leads from nodes to the uploads that are their icons and avatars.
	pictures map[graph.Ref]graph.Ref
}

// Entry is what the ledger knows of an upload.
type Entry struct {
	ID           string
	Size         int64
	ContentType  string
	Organization string
	Creator      graph.Ref
	Parent       graph.Ref
	Pending      bool
	Due          time.Time // of a pending one
	Picture      bool
	Revision     graph.Revision
}

// blob is what the ledger knows of a blob.
type blob struct {
	size int64
	refs int
	made time.Time
}

// NewLedger returns an empty ledger, to be given to graph.New as a replica.
func NewLedger() *Ledger {
	return &Ledger{now: newBook(), reserved: map[graph.Ref]int64{}}
}

func newBook() *book {
	return &book{uploads: map[string]*Entry{}, used: map[graph.Ref]int64{}, blobs: map[string]*blob{}, pictures: map[graph.Ref]graph.Ref{}, stored: map[string]string{}, pending: map[string]*Entry{}, loose: map[string]*blob{}}
}

// Begin starts a load.
func (l *Ledger) Begin() { l.loading = newBook() }

// Node takes a node of the load.
func (l *Ledger) Node(n *graph.Node) { l.loading.node(n) }

// Edge takes an edge of the load.
func (l *Ledger) Edge(e *graph.Edge) { l.loading.edge(e, 1) }

// Ready shows what was loaded.
func (l *Ledger) Ready(graph.Info) {
	slices.SortFunc(l.loading.order, func(a, b *Entry) int { return strings.Compare(a.ID, b.ID) })
	l.mu.Lock()
	defer l.mu.Unlock()
	l.now, l.loading = l.loading, nil
}

// Apply takes changes.
func (l *Ledger) Apply(changes []graph.Change) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for i := range changes {
		ch := &changes[i]
		for _, e := range ch.Entries {
			switch {
			case e.Node != nil && e.Node.After != nil:
				l.now.node(e.Node.After)
			case e.Node != nil && e.Node.Before != nil:
				l.now.remove(e.Node.Before.Ref)
			case e.Edge != nil && e.Edge.Before == nil && e.Edge.After != nil:
				l.now.edge(e.Edge.After, 1)
			case e.Edge != nil && e.Edge.Before != nil && e.Edge.After == nil:
				l.now.edge(e.Edge.Before, -1)
			}
		}
	}
}

func (b *book) node(n *graph.Node) {
	switch n.Ref.Type {
	case identity.Upload:
		u := b.uploads[n.Ref.ID]
		if u == nil {
			u = &Entry{ID: n.Ref.ID}
			b.uploads[n.Ref.ID] = u
			b.list(u)
		} else {
			b.count(u, -1)
		}
		*u = entryOf(n)
		b.count(u, 1)
		if delete(b.pending, u.ID); u.Pending {
			b.pending[u.ID] = u
		}
	case identity.Blob:
		if b.blobs[n.Ref.ID] == nil {
			x := &blob{size: n.Props.Int(identity.PropSize), made: n.Created}
			b.blobs[n.Ref.ID], b.loose[n.Ref.ID] = x, x
			b.bytes += x.size
		}
	}
}

func entryOf(n *graph.Node) Entry {
	e := Entry{
		ID: n.Ref.ID, Size: n.Props.Int(identity.PropSize), ContentType: n.Props.String(identity.PropContentType), Organization: n.Props.String("organization"),
		Pending: n.Props.String(identity.PropState) == identity.StatePending, Picture: n.Props.Bool(identity.PropPicture), Revision: n.Revision,
	}
	// What cannot be read counts for nobody.
	e.Creator, _ = graph.ParseRef(n.Props.String(identity.PropCreator))
	e.Parent, _ = graph.ParseRef(n.Props.String(identity.PropOwner))
	if ms := n.Props.Int(identity.PropDue); ms != 0 {
		e.Due = time.UnixMilli(ms).UTC()
	}
	return e
}

// list keeps uploads in order. Ids are made by time, so nearly all come last.
func (b *book) list(u *Entry) {
	if n := len(b.order); n == 0 || b.order[n-1].ID < u.ID {
		b.order = append(b.order, u)
		return
	}
	if at, found := b.place(u.ID); !found {
		b.order = slices.Insert(b.order, at, u)
	}
}

// place finds where an upload is in the order, or would be.
func (b *book) place(id string) (int, bool) {
	return slices.BinarySearchFunc(b.order, id, func(u *Entry, id string) int { return strings.Compare(u.ID, id) })
}

// count adds the upload to what its organization and its creator have, or takes it off.
func (b *book) count(u *Entry, sign int64) {
	for _, r := range accounts(u.Organization, u.Creator) {
		if b.used[r] += sign * u.Size; b.used[r] == 0 {
			delete(b.used, r)
		}
	}
}

// accounts are those in whose quota an upload counts.
func accounts(org string, creator graph.Ref) []graph.Ref {
	if org == "" {
		return []graph.Ref{creator}
	}
	return []graph.Ref{{Type: identity.Organization, ID: org}, creator}
}

func (b *book) remove(r graph.Ref) {
	switch r.Type {
	case identity.Upload:
		u := b.uploads[r.ID]
		if u == nil {
			return
		}
		b.count(u, -1)
		delete(b.uploads, r.ID)
		delete(b.pending, r.ID)
		if at, found := b.place(r.ID); found {
			b.order = slices.Delete(b.order, at, at+1)
		}
	case identity.Blob:
		if x := b.blobs[r.ID]; x != nil {
			b.bytes -= x.size
		}
		delete(b.blobs, r.ID)
		delete(b.loose, r.ID)
	}
}

func (b *book) edge(e *graph.Edge, sign int) {
	if e.Kind == identity.HasPicture && sign > 0 {
		b.pictures[e.From] = e.To
	} else if e.Kind == identity.HasPicture && b.pictures[e.From] == e.To {
		delete(b.pictures, e.From)
	}
	if e.Kind != identity.StoredAs {
		return
	}
	if e.From.Type == identity.Upload && sign > 0 {
		b.stored[e.From.ID] = e.To.ID
	} else if e.From.Type == identity.Upload {
		delete(b.stored, e.From.ID)
	}
	if x := b.blobs[e.To.ID]; x != nil {
		x.refs += sign
		if delete(b.loose, e.To.ID); x.refs == 0 {
			b.loose[e.To.ID] = x
		}
	}
}

// Get returns what is known of an upload, and the blob that holds its bytes.
func (l *Ledger) Get(id string) (e Entry, blob string, ok bool) {
	l.mu.RLock()
	defer l.mu.RUnlock()
	u := l.now.uploads[id]
	if u == nil {
		return Entry{}, "", false
	}
	return *u, l.now.stored[id], true
}

// PictureOf returns the upload that is the icon or avatar of a node, zero if none is.
func (l *Ledger) PictureOf(r graph.Ref) graph.Ref {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return l.now.pictures[r]
}

// Filter narrows a list of uploads down; what is zero lets everything pass.
type Filter struct {
	ContentType  string // or "image/*"
	Organization string
	Creator      graph.Ref
	Parent       graph.Ref
	Pending      *bool
}

// Match tells whether the upload passes.
func (f *Filter) Match(e *Entry) bool {
	if f.ContentType != "" {
		prefix, group := strings.CutSuffix(f.ContentType, "*")
		if group && !strings.HasPrefix(e.ContentType, prefix) || !group && e.ContentType != f.ContentType {
			return false
		}
	}
	return (f.Organization == "" || e.Organization == f.Organization) && (f.Creator.IsZero() || e.Creator == f.Creator) &&
		(f.Parent.IsZero() || e.Parent == f.Parent) && (f.Pending == nil || e.Pending == *f.Pending)
}

// Find calls yield with the ids of uploads that pass the filter and come after
// the id, in byte order, until it returns false. Nothing can be changed meanwhile.
func (l *Ledger) Find(f Filter, after string, yield func(id string) bool) {
	l.mu.RLock()
	defer l.mu.RUnlock()
	at, found := l.now.place(after)
	if found {
		at++
	}
	for _, u := range l.now.order[at:] {
		if f.Match(u) && !yield(u.ID) {
			return
		}
	}
}

// Used returns how many bytes count for an organization, or for who sent them.
func (l *Ledger) Used(account graph.Ref) int64 {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return l.now.used[account]
}

// reserve sets bytes aside for the accounts, unless one of them would have more
// than its limit; 0 is no limit. What is reserved is to be given back when the
// upload is written, or will not be.
func (l *Ledger) reserve(accounts []graph.Ref, limits []int64, size int64) (free func(), err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for i, r := range accounts {
		used := l.now.used[r] + l.reserved[r]
		if limits[i] > 0 && used+size > limits[i] {
			return nil, &QuotaError{Account: r, Limit: limits[i], Used: used, Size: size}
		}
	}
	for _, r := range accounts {
		l.reserved[r] += size
	}
	return sync.OnceFunc(func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		for _, r := range accounts {
			if l.reserved[r] -= size; l.reserved[r] == 0 {
				delete(l.reserved, r)
			}
		}
	}), nil
}

// loose lists the blobs that nothing leads to, oldest first. A blob is made with its
// first upload, so none of them is still waiting for one.
func (l *Ledger) loose() []string {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return slices.Sorted(maps.Keys(l.now.loose)) // ids are made by time
}

// overdue lists the pending uploads that should have been complete before the time.
func (l *Ledger) overdue(before time.Time) (out []Entry) {
	l.mu.RLock()
	defer l.mu.RUnlock()
	for _, u := range l.now.pending {
		if u.Due.Before(before) {
			out = append(out, *u)
		}
	}
	return out
}

// stored lists the blobs that something leads to and that were made before the time.
func (l *Ledger) stored(before time.Time) map[string]bool {
	l.mu.RLock()
	defer l.mu.RUnlock()
	out := map[string]bool{}
	for id, x := range l.now.blobs {
		if x.refs > 0 && x.made.Before(before) {
			out[id] = false
		}
	}
	return out
}

// Totals are what the ledger counts, for metrics.
type Totals struct {
	Uploads, Pending, Blobs, Loose int
	Bytes                          int64 // of blobs: what is stored
}

// Totals tells how much there is.
func (l *Ledger) Totals() Totals {
	l.mu.RLock()
	defer l.mu.RUnlock()
	b := l.now
	return Totals{Uploads: len(b.uploads), Pending: len(b.pending), Blobs: len(b.blobs), Loose: len(b.loose), Bytes: b.bytes}
}

// needs tells whether something leads to the blob.
func (l *Ledger) needs(blob string) bool {
	l.mu.RLock()
	defer l.mu.RUnlock()
	x := l.now.blobs[blob]
	return x != nil && x.refs > 0
}
