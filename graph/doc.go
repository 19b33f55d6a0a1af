// Package graph is the model every other room of Trellis meets in: nodes and
// edges, the batches that change them, the feed of what changed, and the
// contract of the store that keeps them.
//
// It knows nothing of users, projects or HTTP. It promises that a batch is
// applied whole or not at all, that accepted batches have one order (the
// revision), and that every accepted batch leaves one change record, written
// in the same transaction. It must never grow a method for one kind of node.
package graph
