// Reads nodes by key, in any order.
// Parameters: keys
// Columns: importing, nodes [properties]
MATCH (store:_Store {key: 'store'})
CALL () {
  UNWIND $p.keys AS key
  MATCH (n:Entity {key: key})
  RETURN collect(properties(n)) AS nodes
}
RETURN store.importing AS importing, nodes
