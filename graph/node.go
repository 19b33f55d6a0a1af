package graph

import (
	"cmp"
	"time"
)

// Revision numbers the accepted batches of a store: 1, 2, 3 …, no gaps. Zero
// is the empty store.
type Revision int64

// Kind is the kind of an edge.
type Kind string

// The kinds that permissions are found by. A direction reads as a sentence:
// child CHILD_OF parent, member MEMBER_OF set, subject CAN_ACCESS resource,
// role INHERITS role, role GRANTS permission. The catalog adds kinds of its
// own, which carry no permission.
const (
	MemberOf  Kind = "MEMBER_OF"
	ChildOf   Kind = "CHILD_OF"
	CanAccess Kind = "CAN_ACCESS"
	Inherits  Kind = "INHERITS"
	Grants    Kind = "GRANTS"
)

// Valid tells whether k is written like a kind: upper-case letters, digits
// and underscores, a letter first, at most MaxType bytes.
func (k Kind) Valid() bool {
	if k == "" || len(k) > MaxType || k[0] < 'A' || k[0] > 'Z' {
		return false
	}
	for i := 1; i < len(k); i++ {
		c := k[i]
		if c != '_' && (c < 'A' || c > 'Z') && (c < '0' || c > '9') {
			return false
		}
	}
	return true
}

// Properties that the rule of permission reads.
const (
	// PropStatus, on a node: a subject with another status than "" or
	// StatusActive holds nothing.
	PropStatus = "status"
	// PropExpires, on MEMBER_OF and CAN_ACCESS: Unix milliseconds (int64)
	// from which on the edge counts for nothing. Absent: never.
	PropExpires = "expires_at"
	// PropRole, on CAN_ACCESS: the id of the role. It is the edge's Key too.
	PropRole = "role"
	// PropActions, on CAN_ACCESS without role: permissions ("repo:read", "repo:*", "*:read", "*").
	PropActions = "actions"
	// PropCondition, on CAN_ACCESS: while conditions cannot be evaluated, an
	// edge that has one counts for nothing.
	PropCondition = "condition"

	// PropGrantedBy, on CAN_ACCESS: who gave it. A PutEdge that changes
	// nothing else keeps it, so that giving again what is given is no change.
	PropGrantedBy = "granted_by"

	StatusActive = "active"
)

// Node is one thing in the graph. A Node that a Store returned is shared and
// must not be changed.
type Node struct {
	Ref Ref `json:"ref"`
	// Names are other keys of the node, each unique in the store, such as
	// "email:a@example.com" or "slug:team:organization:kubernetes/sig-auth".
	// Sorted, without repeats, each 1 to MaxName bytes of printable UTF-8.
	Names []string `json:"names,omitempty"`
	Props Props    `json:"props,omitempty"`
	// Created, Updated and Revision are set by the store. Times are UTC, in
	// whole milliseconds. Revision is that of the last batch that changed
	// the node itself, not its edges.
	Created  time.Time `json:"created"`
	Updated  time.Time `json:"updated"`
	Revision Revision  `json:"revision"`
}

// MaxName limits one entry of Node.Names, in bytes.
const MaxName = 1024

// EdgeKey identifies an edge. Key tells parallel edges of one kind apart: a
// grant's role; elsewhere it is usually empty.
type EdgeKey struct {
	From Ref    `json:"from"`
	Kind Kind   `json:"kind"`
	To   Ref    `json:"to"`
	Key  string `json:"key,omitempty"`
}

// String is for people: "user:a -MEMBER_OF-> team:b".
func (k EdgeKey) String() string {
	s := k.From.String() + " -" + string(k.Kind)
	if k.Key != "" {
		s += "(" + k.Key + ")"
	}
	return s + "-> " + k.To.String()
}

// CompareEdges orders by kind, from, to, key, all by bytes.
func CompareEdges(a, b EdgeKey) int {
	return cmp.Or(cmp.Compare(a.Kind, b.Kind), CompareRefs(a.From, b.From), CompareRefs(a.To, b.To), cmp.Compare(a.Key, b.Key))
}

// Edge is one relation between two nodes. Times and Revision as in Node.
type Edge struct {
	EdgeKey
	Props    Props     `json:"props,omitempty"`
	Created  time.Time `json:"created"`
	Updated  time.Time `json:"updated"`
	Revision Revision  `json:"revision"`
}

// Expires returns the time in Unix milliseconds from which the edge counts
// for nothing, 0 for never.
func (e *Edge) Expires() int64 { return e.Props.Int(PropExpires) }
