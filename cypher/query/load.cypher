// Takes the write lock, then reads the head and everything a group of batches is known to need.
// Each part is given the locked store, so that none can run before the lock is held. Both ends of
// an edge are found by key before it is looked for, so that never more edges are read than leave
// the one or reach the other, whatever the statistics make of it.
// What the store node says of kinds is the last revision of their edges without a key; last_rest is
// that of the import which the other kinds came with.
// Parameters: nodes [key], brief [key], edges [{from, to, kind, key}], names [name], kinds [kind]
// Columns: importing, head, nodes [properties], brief [[position, revision]],
//   edges [[position, properties]], names [[name, key]], lasts [revision]
MATCH (store:_Store {key: 'store'})
SET store.lock = 1
WITH store
CALL (store) {
  UNWIND $p.nodes AS key
  MATCH (n:Entity {key: key})
  RETURN collect(properties(n)) AS nodes
}
CALL (store) {
  UNWIND range(0, size($p.brief) - 1) AS i
  MATCH (n:Entity {key: $p.brief[i]})
  RETURN collect([i, n.revision]) AS brief
}
CALL (store) {
  UNWIND range(0, size($p.edges) - 1) AS i
  WITH i, $p.edges[i] AS row
  MATCH (a:Entity {key: row.from})
  MATCH (b:Entity {key: row.to})
  WITH i, row, a, b
  MATCH (a)-[r:$(row.kind)]->(b)
  WHERE r.key = row.key
  RETURN collect([i, properties(r)]) AS edges
}
CALL (store) {
  UNWIND $p.names AS name
  MATCH (x:_Name {name: name})
  RETURN collect([x.name, x.key]) AS names
}
RETURN store.importing AS importing, store.head AS head, nodes, brief, edges, names,
  [kind IN $p.kinds | coalesce(store['last_' + kind], store.last_rest, 0)] AS lasts
