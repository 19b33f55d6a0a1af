// Lists the grants of a role, by their ends, a page at a time: edges_by_key for the one kind whose keys
// have an index. The index holds key and revision, and serves only where both are asked for; the hint
// keeps the planner on it, whatever it thinks of a graph that is still small.
// Parameters: key, after_from_type, after_from_id, after_to_type, after_to_id, limit
// Columns: importing, edges [[from type, from id, to type, to id, properties]]
MATCH (store:_Store {key: 'store'})
CALL () {
  MATCH ()-[r:CAN_ACCESS]->()
  USING INDEX SEEK r:CAN_ACCESS(key, revision)
  WHERE r.key = $p.key AND r.revision >= 0
  WITH r, startNode(r) AS a, endNode(r) AS b
  WHERE a.type > $p.after_from_type OR a.type = $p.after_from_type AND (a.id > $p.after_from_id OR a.id = $p.after_from_id
    AND (b.type > $p.after_to_type OR b.type = $p.after_to_type AND b.id > $p.after_to_id))
  WITH a, b, r ORDER BY a.type, a.id, b.type, b.id LIMIT $p.limit
  RETURN collect([a.type, a.id, b.type, b.id, properties(r)]) AS edges
}
RETURN store.importing AS importing, edges
