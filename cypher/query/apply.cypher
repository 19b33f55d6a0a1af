// Writes what a group of batches amounts to, its change records and the new head. The transaction
// holds the lock. As in load, both ends of an edge are found before it is looked for.
// Parameters: head, lasts {last_KIND: revision}, edges_gone [{from, to, kind, key}], names_gone [name], nodes_gone [key],
//   nodes_set [{key, props}], nodes_new [{label, props}], names_set [{name, key}],
//   edges_set [{from, to, kind, key, props}], edges_new [{from, to, kind, props}], changes [{revision, id, time, data | packed}]
// Columns: head
MATCH (store:_Store {key: 'store'})
SET store.head = $p.head, store += $p.lasts
WITH store
CALL () {
  UNWIND $p.edges_gone AS row
  MATCH (a:Entity {key: row.from})
  MATCH (b:Entity {key: row.to})
  WITH row, a, b
  MATCH (a)-[r:$(row.kind)]->(b)
  WHERE r.key = row.key
  DELETE r
}
CALL () {
  UNWIND $p.names_gone AS name
  MATCH (x:_Name {name: name})
  DELETE x
}
CALL () {
  UNWIND $p.nodes_gone AS key
  MATCH (n:Entity {key: key})
  DETACH DELETE n
}
CALL () {
  UNWIND $p.nodes_set AS row
  MATCH (n:Entity {key: row.key})
  SET n = row.props
}
CALL () {
  UNWIND $p.nodes_new AS row
  CREATE (n:Entity:$(row.label))
  SET n = row.props
}
CALL () {
  UNWIND $p.names_set AS row
  MERGE (x:_Name {name: row.name})
  SET x.key = row.key
}
CALL () {
  UNWIND $p.edges_set AS row
  MATCH (a:Entity {key: row.from})
  MATCH (b:Entity {key: row.to})
  WITH row, a, b
  MATCH (a)-[r:$(row.kind)]->(b)
  WHERE r.key = row.key
  SET r = row.props
}
CALL () {
  UNWIND $p.edges_new AS row
  MATCH (a:Entity {key: row.from})
  MATCH (b:Entity {key: row.to})
  CREATE (a)-[r:$(row.kind)]->(b)
  SET r = row.props
}
CALL () {
  UNWIND $p.changes AS row
  CREATE (c:_Change)
  SET c = row
}
RETURN store.head AS head
