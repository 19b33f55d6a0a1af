// Takes the write lock, then reads the head and everything a group of batches is known to need.
// Both ends are found by key before the edge is looked for, so that never more edges are
// read than leave the one or reach the other, whatever the statistics make of it.
// Parameters: nodes [key], edges [{i, from, to, kind, key}], names [name]
// Columns: importing, head, nodes [[element id, properties]], edges [[i, element id, properties]], names [[name, key]]
MATCH (store:_Store {key: 'store'})
SET store.lock = 1
WITH store
CALL () {
  UNWIND $nodes AS key
  MATCH (n:Entity {key: key})
  RETURN collect([elementId(n), properties(n)]) AS nodes
}
CALL () {
  UNWIND $edges AS row
  MATCH (a:Entity {key: row.from})
  MATCH (b:Entity {key: row.to})
  WITH row, a, b
  MATCH (a)-[r:$(row.kind)]->(b)
  WHERE r.key = row.key
  RETURN collect([row.i, elementId(r), properties(r)]) AS edges
}
CALL () {
  UNWIND $names AS name
  MATCH (x:_Name {name: name})
  RETURN collect([x.name, x.key]) AS names
}
RETURN store.importing AS importing, store.head AS head, nodes, edges, names
