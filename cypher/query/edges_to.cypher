// Lists the edges of a kind that end at a node, by the other end and key, a page at a time.
// Parameters: node (key), kind, type (of the other end; '' for any), after_type, after_id, after_key, limit
// Columns: importing, edges [[type, id, properties]] (of the other end)
MATCH (store:_Store {key: 'store'})
CALL () {
  MATCH (n:Entity {key: $p.node})
  WITH n
  MATCH (n)<-[r:$($p.kind)]-(m)
  WHERE ($p.type = '' OR m.type = $p.type)
    AND (m.type > $p.after_type OR m.type = $p.after_type AND (m.id > $p.after_id OR m.id = $p.after_id AND r.key > $p.after_key))
  WITH m, r ORDER BY m.type, m.id, r.key LIMIT $p.limit
  RETURN collect([m.type, m.id, properties(r)]) AS edges
}
RETURN store.importing AS importing, edges
