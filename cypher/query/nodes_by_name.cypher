// Finds the nodes that hold any of some names, in any order, once per name held.
// Parameters: names
// Columns: importing, nodes [properties]
MATCH (store:_Store {key: 'store'})
CALL () {
  UNWIND $p.names AS name
  MATCH (x:_Name {name: name})
  MATCH (n:Entity {key: x.key})
  RETURN collect(properties(n)) AS nodes
}
RETURN store.importing AS importing, nodes
