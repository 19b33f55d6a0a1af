package graph

import (
	"context"
	"time"
)

// Store keeps one graph. Engines: sqlitegraph, neo4jgraph. Everything here is
// tested on each by graphtest, and both must answer alike.
//
// All methods may be called concurrently. Every error is an *Error (or wraps
// one). A context that ends gives Canceled, use after Close gives Closed, an
// unreachable server gives Unavailable. Opening an engine does not need its
// server: the first call that reaches it prepares the schema, writes the
// store id and the nodes Root, Everyone and Authenticated (revision 0, no
// change record).
type Store interface {
	Reader
	Writer
	Feed
	Porter
	// Close waits for calls under way and releases everything. Twice is no error.
	Close() error
}

// Reader asks for what is in the store.
type Reader interface {
	// Info says which store this is and how far it has come.
	Info(ctx context.Context) (Info, error)
	// Nodes returns those of the nodes that exist, in CompareRefs order
	// without repeats.
	Nodes(ctx context.Context, refs []Ref) ([]Node, error)
	// Ask answers a named question; see Question.
	Ask(ctx context.Context, q Question) (Answer, error)
	// Check answers the rule of permission by the engine alone, without any
	// index: the oracle that the index is compared with. See CheckQuery.
	Check(ctx context.Context, q CheckQuery) (CheckAnswer, error)
	Searcher
}

// Writer changes what is in the store.
type Writer interface {
	// Commit applies the batches in order in one transaction and returns a
	// result for each, in order. A batch that is refused (Result.Err) leaves
	// no trace and does not hinder the others, nor does a dry one. An error of
	// Commit itself means that no batch of the group is known to have happened.
	// Batches must have been validated and must have an ID and a Time.
	Commit(ctx context.Context, group []Batch) ([]Result, error)
}

// Feed is the durable order of changes.
type Feed interface {
	// Changes returns up to limit change records with revisions above after,
	// in order without gaps. Gone if some of them have been trimmed.
	Changes(ctx context.Context, after Revision, limit int) ([]Change, error)
	// Claim takes, renews or releases a consumer's lease and moves its
	// durable cursor; see Claim.
	Claim(ctx context.Context, c Claim) (Cursor, error)
	// Trim deletes the change records that are older than the time and that
	// every consumer is past, and returns how many.
	Trim(ctx context.Context, olderThan time.Time) (int, error)
}

// Porter moves whole graphs.
type Porter interface {
	// Export calls yield with every node, then every edge, all of one
	// revision, which the returned Info names; nodes in CompareRefs order,
	// edges in CompareEdges order. It stops at the first error of yield and
	// returns it. The record is only valid during the call.
	Export(ctx context.Context, yield func(Record) error) (Info, error)
	// Import fills an empty store (head 0) with records in Export's order,
	// keeping their times and revisions, and sets the head to head. All or
	// nothing: a store whose import did not finish answers nothing but
	// another Import. next returns io.EOF after the last record. The store
	// keeps its own id. Exists if the store is not empty.
	Import(ctx context.Context, head Revision, next func() (Record, error)) error
}

// Info identifies a store and its state.
type Info struct {
	// Store is the store's id: 8 or more lower-case letters and digits, made at random when it was created.
	Store string
	// Head is the last revision.
	Head Revision
	// Oldest is the revision after which Changes can be had: 0 until something was trimmed or imported.
	Oldest Revision
}

// Record is one node or one edge.
type Record struct {
	Node *Node `json:"node,omitempty"`
	Edge *Edge `json:"edge,omitempty"`
}

// Question is a named read. Each name exists once per engine as a statement
// of its own (cypher/query/NAME.cypher, graph/sqlitegraph/query/NAME.sql) and
// has a conformance case. Answers come in a fixed order and in pages: After
// is the Next of the page before, Limit is 1 to MaxPage.
type Question struct {
	Name  string
	Ref   Ref
	Type  Type
	Kind  Kind
	Key   string
	Names []string
	Refs  []Ref
	Kinds []Kind
	After string
	Limit int
}

// Validate tells whether the question has a name, and all that this question
// needs in the right form. After is the engine's to judge.
func (q *Question) Validate() error {
	switch q.Name {
	case NodesByType:
		if !q.Type.Valid() {
			return Errorf(Invalid, "%s is not a type", quote(string(q.Type)))
		}
	case NodesByName:
		if len(q.Names) > MaxPage {
			return Errorf(TooLarge, "%d names in one question; the limit is %d", len(q.Names), MaxPage)
		}
		return nil
	case EdgesFrom, EdgesTo:
		if err := q.Ref.Validate(); err != nil {
			return err
		}
	case EdgesByKey:
	case EdgesOut, EdgesIn:
		if err := q.validateAmong(); err != nil {
			return err
		}
	default:
		return Errorf(Invalid, "there is no question %s", quote(q.Name))
	}
	if (q.Name == EdgesFrom || q.Name == EdgesTo || q.Name == EdgesByKey) && !q.Kind.Valid() {
		return Errorf(Invalid, "%s is not a kind of edge", quote(string(q.Kind)))
	}
	if q.Limit < 1 || q.Limit > MaxPage {
		return Errorf(Invalid, "the limit is %d; it must be 1 to %d", q.Limit, MaxPage)
	}
	return nil
}

// validateAmong looks at what EdgesOut and EdgesIn need.
func (q *Question) validateAmong() error {
	if len(q.Refs) > MaxPage {
		return Errorf(TooLarge, "%d nodes in one question; the limit is %d", len(q.Refs), MaxPage)
	}
	if len(q.Refs) == 0 || len(q.Kinds) == 0 || len(q.Kinds) > MaxKinds {
		return Errorf(Invalid, "%d nodes and %d kinds of edges in one question; want at least one of each, and at most %d kinds", len(q.Refs), len(q.Kinds), MaxKinds)
	}
	for _, r := range q.Refs {
		if err := r.Validate(); err != nil {
			return err
		}
	}
	for _, k := range q.Kinds {
		if !k.Valid() {
			return Errorf(Invalid, "%s is not a kind of edge", quote(string(k)))
		}
	}
	return nil
}

// MaxPage limits one page of a named read.
const MaxPage = 10_000

// MaxKinds limits Question.Kinds.
const MaxKinds = 32

// The named reads.
const (
	// NodesByType: nodes of Type, by id.
	NodesByType = "nodes_by_type"
	// NodesByName: the nodes that hold any of Names (at most MaxPage), in CompareRefs order, not paged.
	NodesByName = "nodes_by_name"
	// EdgesFrom: edges of Kind that start at Ref, in CompareEdges order.
	EdgesFrom = "edges_from"
	// EdgesTo: edges of Kind that end at Ref, in CompareEdges order; of From.Type == Type if that is set.
	EdgesTo = "edges_to"
	// EdgesByKey: edges of Kind with Key, in CompareEdges order.
	EdgesByKey = "edges_by_key"
	// EdgesOut: edges of any of Kinds (1 to MaxKinds) that start at any of Refs
	// (1 to MaxPage), in CompareEdges order, each once.
	EdgesOut = "edges_out"
	// EdgesIn: edges of any of Kinds (1 to MaxKinds) that end at any of Refs
	// (1 to MaxPage), in CompareEdges order, each once.
	EdgesIn = "edges_in"
)

// Questions lists every named read.
var Questions = []string{NodesByType, NodesByName, EdgesFrom, EdgesTo, EdgesByKey, EdgesOut, EdgesIn}

// Answer is one page: of nodes or of edges. Next is empty on the last page;
// a page is never empty while Next is not. Next is opaque and printable.
type Answer struct {
	Nodes []Node
	Edges []Edge
	Next  string
}

// CheckQuery asks whether Subject holds Permission ("repo:read") on Resource
// at the time At. It holds exactly when Subject and Resource exist, Subject's
// status is "" or active, and there are s and x with
//
//	s: Subject, or reached from it by unexpired MEMBER_OF edges, or Everyone,
//	   or (unless Subject is Everyone) Authenticated
//	x: Resource, or reached from it by CHILD_OF edges
//	an unexpired CAN_ACCESS edge s -> x without condition whose role exists
//	   and reaches by INHERITS* a GRANTS edge to one of the permission nodes
//	   Wildcards(Permission), or whose actions list one of their ids
type CheckQuery struct {
	Subject    Ref
	Permission string
	Resource   Ref
	At         time.Time
}

// CheckAnswer is the engine's answer and the revision it was worked out at.
type CheckAnswer struct {
	Allowed  bool
	Revision Revision
}

// Wildcards returns the names under which a permission may have been granted:
// itself, "type:*", "*:action" and "*", without repeats, the permission first.
func Wildcards(permission string) []string {
	if permission == "*" {
		return []string{permission}
	}
	t, a, ok := cutPermission(permission)
	if !ok {
		return []string{permission, "*"}
	}
	out := []string{permission}
	for _, w := range [...]string{t + ":*", "*:" + a, "*"} {
		if w != permission {
			out = append(out, w)
		}
	}
	return out
}

// Claim is what a consumer of the feed says to hold its place. Of several
// processes of one consumer, one at a time holds the lease.
type Claim struct {
	// Consumer names the reader, for example "audit". Up to MaxType bytes, formed like a Type.
	Consumer string
	// Holder names the process.
	Holder string
	// TTL is how long the lease lasts from now; 0 releases it.
	TTL time.Duration
	// Cursor, if not negative, is stored as the last revision dealt with. It
	// never moves backwards. A new consumer starts at Info.Head, or at Cursor if that is given.
	Cursor Revision
	// Now is the claimant's clock, UTC.
	Now time.Time
}

// Validate tells whether the consumer and the holder can be names.
func (c *Claim) Validate() error {
	switch {
	case !Type(c.Consumer).Valid():
		return Errorf(Invalid, "%s is not a consumer's name", quote(c.Consumer))
	case c.Holder == "" || len(c.Holder) > MaxName || !Printable(c.Holder):
		return Errorf(Invalid, "%s is not a holder's name", quote(c.Holder))
	case c.TTL < 0:
		return Errorf(Invalid, "a lease cannot last %v", c.TTL)
	}
	return nil
}

// Next works out the claim against what is held (nil for a new consumer) and
// the store's head. The Cursor is what is to be stored; with an error (Stale)
// it is what is held and nothing is to be stored.
func (c *Claim) Next(held *Cursor, head Revision) (Cursor, error) {
	out := Cursor{Revision: head}
	switch {
	case held == nil && c.Cursor >= 0:
		out.Revision = c.Cursor
	case held != nil:
		if held.Holder != "" && held.Holder != c.Holder && c.Now.Before(held.Until) {
			return *held, Errorf(Stale, "%s holds the place of %s until %s", held.Holder, c.Consumer, held.Until.Format(time.RFC3339))
		}
		out.Revision = max(held.Revision, c.Cursor)
	}
	if c.TTL > 0 {
		out.Holder, out.Until = c.Holder, c.Now.Add(c.TTL).UTC().Truncate(time.Millisecond)
	}
	return out, nil
}

// Cursor is a consumer's place. Claim returns Stale, together with it, when
// another holder has the lease.
type Cursor struct {
	Revision Revision
	Holder   string
	Until    time.Time
}

// Replica is an in-memory view of the graph that a Graph keeps current: it
// is loaded whole from an export, then fed with changes. A Graph calls these
// methods from one goroutine at a time; readers of the replica run beside.
type Replica interface {
	// Begin starts a full load; a load that was under way is forgotten.
	// Readers go on with what was there until Ready.
	Begin()
	// Node and Edge deliver the export, nodes first. The argument is valid
	// only during the call, but its strings and Props may be kept.
	Node(n *Node)
	Edge(e *Edge)
	// Ready ends the load, which shows the store at info.Head: from here on
	// readers see it.
	Ready(info Info)
	// Apply takes changes in order, without gaps, from the revision of Ready
	// on. When it returns, readers see them.
	Apply(changes []Change)
}
