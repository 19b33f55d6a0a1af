package neo4jgraph

// Label is label, for the test of its promise.
var Label = label
