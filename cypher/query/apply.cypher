// Writes what a group of batches amounts to, its change records and the new head. The transaction
// holds the lock; what exists is named by the element ids that load and around returned.
// Parameters: head, edges_gone [element id], names_gone [name], nodes_gone [element id],
//   nodes_set [{id, props}], nodes_new [{label, props}], names_set [{name, key}],
//   edges_set [{id, props}], edges_new [{from, to, kind, props}], changes [{revision, id, time, data | packed}]
// Columns: head
MATCH (store:_Store {key: 'store'})
SET store.head = $head
WITH store
CALL () {
  UNWIND $edges_gone AS id
  MATCH ()-[r]->() WHERE elementId(r) = id
  DELETE r
}
CALL () {
  UNWIND $names_gone AS name
  MATCH (x:_Name {name: name})
  DELETE x
}
CALL () {
  UNWIND $nodes_gone AS id
  MATCH (n) WHERE elementId(n) = id
  DETACH DELETE n
}
CALL () {
  UNWIND $nodes_set AS row
  MATCH (n) WHERE elementId(n) = row.id
  SET n = row.props
}
CALL () {
  UNWIND $nodes_new AS row
  CREATE (n:Entity:$(row.label))
  SET n = row.props
}
CALL () {
  UNWIND $names_set AS row
  MERGE (x:_Name {name: row.name})
  SET x.key = row.key
}
CALL () {
  UNWIND $edges_set AS row
  MATCH ()-[r]->() WHERE elementId(r) = row.id
  SET r = row.props
}
CALL () {
  UNWIND $edges_new AS row
  MATCH (a:Entity {key: row.from})
  MATCH (b:Entity {key: row.to})
  CREATE (a)-[r:$(row.kind)]->(b)
  SET r = row.props
}
CALL () {
  UNWIND $changes AS row
  CREATE (c:_Change)
  SET c = row
}
RETURN store.head AS head
