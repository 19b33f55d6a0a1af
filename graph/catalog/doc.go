// Package catalog answers lists of the catalog from memory: projects,
// environments, tags and the like, and the organizations and teams that they
// belong to, filtered, sorted, counted and limited to what the caller may
// read.
//
// It owns the Index, a graph.Replica: a compact document for every node of
// those types, the relations between them in both directions, and a set of
// documents for everything that lists are filtered by. An answer depends on
// what the change feed brought and on nothing else, so it is the same
// whatever store is behind. Who may read what comes in with each question, as
// the places at or below which the caller may (permission.View.Places).
// Docs: docs/adr/0012-catalog-index.md.
//
// It also owns Blueprints, a replica too: the schemas that attributes are held
// against when nodes are written. Docs: docs/adr/0014-blueprints.md.
//
// It must never reach for the store, and it holds no rule about who may
// change what.
package catalog
