// Lists the nodes of a type by id, a page at a time. Their keys are those between "type:" and "type;".
// Parameters: after (key), end (key), limit
// Columns: importing, nodes [properties]
MATCH (store:_Store {key: 'store'})
CALL () {
  MATCH (n:Entity)
  WHERE n.key > $p.after AND n.key < $p.end
  WITH n ORDER BY n.key LIMIT $p.limit
  RETURN collect(properties(n)) AS nodes
}
RETURN store.importing AS importing, nodes
