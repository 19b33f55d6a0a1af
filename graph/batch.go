package graph

import (
	"errors"
	"fmt"
	"slices"
	"time"
)

// Op says what a Step does.
type Op uint8

// The steps. Requirements (Require…) look at the state as the steps before
// them left it, and refuse the whole batch when they do not hold.
const (
	// PutNode creates the node or replaces its names and properties. A name
	// held by another node is an Exists error.
	PutNode Op = iota + 1
	// TouchNode gives the node a new revision although nothing of it changes:
	// for when its edges are part of what its editors compare. NotFound if it
	// is not there.
	TouchNode
	// DeleteNode removes the node and every edge at either end of it. A node
	// that is not there is no error.
	DeleteNode
	// PutEdge creates the edge or replaces its properties. Both ends must
	// exist, else NotFound.
	PutEdge
	// DeleteEdge removes the edge. One that is not there is no error.
	DeleteEdge
	// RequireNode: the node exists, else NotFound.
	RequireNode
	// RequireNoNode: the node does not exist, else Exists.
	RequireNoNode
	// RequireRevision: the node exists (else NotFound) and its revision is
	// Step.Revision, else Stale.
	RequireRevision
	// RequireEdge: the edge exists, else NotFound.
	RequireEdge
	// RequireNoEdge: the edge does not exist, else Exists.
	RequireNoEdge
	// RequireNoEdgesTo: no edge of Kind ends at the node, else InUse.
	RequireNoEdgesTo
	// RequireNoPath: no chain of edges of Edge.Kind leads from Edge.From to
	// Edge.To (a node reaches itself), else Cycle.
	RequireNoPath
	// RequireQuiet: no edge of Edge.Kind and Edge.Key has a revision above
	// Step.Revision, else Stale. An edge that was written after it and is gone
	// again may count or not.
	RequireQuiet
	// RequireEdgesAround: as many edges as Step.Count begin or end at the node
	// and none of them has a revision above Step.Revision, else Stale. Whoever
	// saw that many at Step.Revision or later has seen all that there are.
	RequireEdgesAround
)

// Step is one mutation or requirement of a batch. Make them with the
// functions below.
type Step struct {
	Op       Op
	Node     Node // PutNode whole; the other node steps: Ref
	Edge     Edge // PutEdge whole; the other edge steps: EdgeKey
	Revision Revision
	Count    int
	// Msg, if set, replaces the text of the error when the requirement fails.
	Msg string
}

// Put creates or replaces a node.
func Put(n Node) Step { return Step{Op: PutNode, Node: n} }

// Touch gives a node a new revision.
func Touch(r Ref) Step { return Step{Op: TouchNode, Node: Node{Ref: r}} }

// Delete removes a node and its edges.
func Delete(r Ref) Step { return Step{Op: DeleteNode, Node: Node{Ref: r}} }

// Link creates or replaces an edge.
func Link(e Edge) Step { return Step{Op: PutEdge, Edge: e} }

// Unlink removes an edge.
func Unlink(k EdgeKey) Step { return Step{Op: DeleteEdge, Edge: Edge{EdgeKey: k}} }

// Require refuses the batch unless the node exists.
func Require(r Ref) Step { return Step{Op: RequireNode, Node: Node{Ref: r}} }

// RequireAbsent refuses the batch if the node exists.
func RequireAbsent(r Ref) Step { return Step{Op: RequireNoNode, Node: Node{Ref: r}} }

// RequireAt refuses the batch unless the node's revision is rev.
func RequireAt(r Ref, rev Revision) Step {
	return Step{Op: RequireRevision, Node: Node{Ref: r}, Revision: rev}
}

// RequireLinked refuses the batch unless the edge exists.
func RequireLinked(k EdgeKey) Step { return Step{Op: RequireEdge, Edge: Edge{EdgeKey: k}} }

// RequireUnlinked refuses the batch if the edge exists.
func RequireUnlinked(k EdgeKey) Step { return Step{Op: RequireNoEdge, Edge: Edge{EdgeKey: k}} }

// RequireLeaf refuses the batch if an edge of the kind ends at the node.
func RequireLeaf(r Ref, k Kind) Step {
	return Step{Op: RequireNoEdgesTo, Node: Node{Ref: r}, Edge: Edge{EdgeKey: EdgeKey{Kind: k}}}
}

// RequireAcyclic refuses the batch if linking from to by the kind would close
// a circle, that is, if to already leads to from. Put it before the Link.
func RequireAcyclic(from Ref, k Kind, to Ref) Step {
	return Step{Op: RequireNoPath, Edge: Edge{EdgeKey: EdgeKey{From: to, Kind: k, To: from}}}
}

// RequireUnchanged refuses the batch if an edge of this kind and key was
// written after the revision.
func RequireUnchanged(k Kind, key string, since Revision) Step {
	return Step{Op: RequireQuiet, Edge: Edge{EdgeKey: EdgeKey{Kind: k, Key: key}}, Revision: since}
}

// RequireAround refuses the batch unless the edges at the node, in either
// direction, are that many and none was written after the revision.
func RequireAround(r Ref, edges int, since Revision) Step {
	return Step{Op: RequireEdgesAround, Node: Node{Ref: r}, Count: edges, Revision: since}
}

// MaxSteps limits one batch: enough for 10,000 nodes with all that they are
// related to, and for what must not have changed meanwhile.
const MaxSteps = 250_000

// Batch is a list of steps that happen all together, in order, or not at all.
type Batch struct {
	// ID tells this batch from every other; Graph.Write fills it. It is kept
	// in the change record, so that an engine whose connection broke during
	// the commit can find out whether the batch happened before it tries again.
	ID    string
	Actor Ref
	Origin
	// Time is when the change happened, UTC in whole milliseconds; Graph.Write fills it.
	Time  time.Time
	Steps []Step
	// Dry: tell in Result what the batch would do, and do nothing. The revision
	// of its change is the one that the batch would have had at its place in
	// the group; another batch gets it. Do not wait for it.
	Dry bool
}

// Validate normalizes every step and reports the first that is malformed,
// before the store is asked.
func (b *Batch) Validate() error {
	if len(b.Steps) > MaxSteps {
		return Errorf(TooLarge, "%d steps in one batch; the limit is %d", len(b.Steps), MaxSteps)
	}
	for i := range b.Steps {
		if err := b.Steps[i].validate(); err != nil {
			var e *Error
			if errors.As(err, &e) {
				e.Step = i
			}
			return err
		}
	}
	return nil
}

func (s *Step) validate() error {
	switch s.Op {
	case PutNode:
		if err := s.Node.Ref.Validate(); err != nil {
			return err
		}
		p, err := s.Node.Props.Normalize()
		if err != nil {
			return err
		}
		s.Node.Props = p
		names := slices.Clone(s.Node.Names)
		slices.Sort(names)
		s.Node.Names = slices.Compact(names)
		for _, n := range s.Node.Names {
			if n == "" || len(n) > MaxName || !Printable(n) {
				return Errorf(Invalid, "%s cannot be a name: want 1 to %d bytes of printable UTF-8", quote(n), MaxName)
			}
		}
		return nil
	case DeleteNode:
		if r := s.Node.Ref; r == Root || r == Everyone || r == Authenticated {
			return Errorf(Invalid, "%s cannot be deleted", r)
		}
		return s.Node.Ref.Validate()
	case TouchNode, RequireNode, RequireNoNode, RequireRevision, RequireEdgesAround:
		return s.Node.Ref.Validate()
	case RequireNoEdgesTo:
		if !s.Edge.Kind.Valid() {
			return Errorf(Invalid, "%s is not a kind of edge", quote(string(s.Edge.Kind)))
		}
		return s.Node.Ref.Validate()
	case RequireQuiet:
		if !s.Edge.Kind.Valid() {
			return Errorf(Invalid, "%s is not a kind of edge", quote(string(s.Edge.Kind)))
		}
		return nil
	case PutEdge, DeleteEdge, RequireEdge, RequireNoEdge, RequireNoPath:
		if !s.Edge.Kind.Valid() {
			return Errorf(Invalid, "%s is not a kind of edge", quote(string(s.Edge.Kind)))
		}
		if err := s.Edge.From.Validate(); err != nil {
			return err
		}
		if err := s.Edge.To.Validate(); err != nil {
			return err
		}
		if len(s.Edge.Key) > MaxName || !Printable(s.Edge.Key) {
			return Errorf(Invalid, "%s cannot be an edge's key", quote(s.Edge.Key))
		}
		if s.Op == PutEdge {
			p, err := s.Edge.Props.Normalize()
			if err != nil {
				return err
			}
			s.Edge.Props = p
		}
		return nil
	}
	panic(fmt.Sprintf("graph: unknown step %d", s.Op))
}

// Origin says by which request a change came about, for the audit trail: a
// store keeps it with the change record and makes nothing of it. All of it may
// be empty.
type Origin struct {
	RequestID string `json:"request_id,omitempty"`
	// Key is the id of the API key that was used.
	Key string `json:"key,omitempty"`
	// Address is the client's address, as far as it is to be kept.
	Address string `json:"address,omitempty"`
	// Agent is what the client calls itself.
	Agent string `json:"agent,omitempty"`
}

// Result is what became of one batch. Exactly one of these holds: Err is set;
// Change is set and Revision is its revision; or nothing needed changing, and
// Revision is the store's head.
type Result struct {
	Revision Revision
	Change   *Change
	Err      error
}

// Change is the record of one accepted batch: what the feed delivers.
type Change struct {
	Revision Revision  `json:"revision"`
	ID       string    `json:"id"`
	Time     time.Time `json:"time"`
	Actor    Ref       `json:"actor"`
	Origin
	// Entries are the net effect of the batch: at most one per node and per
	// edge, deletions of edges first, then of nodes, then nodes, then edges.
	Entries []Entry `json:"entries"`
}

// Entry is one node or one edge, before and after: Before nil means created,
// After nil means deleted.
type Entry struct {
	Node *NodeEntry `json:"node,omitempty"`
	Edge *EdgeEntry `json:"edge,omitempty"`
}

// NodeEntry tells a node before and after.
type NodeEntry struct {
	Before *Node `json:"before,omitempty"`
	After  *Node `json:"after,omitempty"`
}

// EdgeEntry tells an edge before and after.
type EdgeEntry struct {
	Before *Edge `json:"before,omitempty"`
	After  *Edge `json:"after,omitempty"`
}
