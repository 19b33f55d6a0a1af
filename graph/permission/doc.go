// Package permission answers the one rule of Trellis from memory: may this
// subject do this to that resource, and why?
//
// It owns the index: a compact form of the edges that permissions are found
// by, loaded from an export and kept current by the change feed. Every answer
// is given by a View, which is the graph at one revision, whole and
// immutable: readers take no lock, wait for no writer, and all questions put
// to one View agree with one another. Docs: docs/adr/0003-permission-index.md.
//
// It must never reach for the store: what the feed has not brought does not
// exist here.
package permission
