// Lists the edges of a kind that end at a node, by the other end and key, a page at a time.
// Parameters: node (key), kind, type (of the other end; '' for any), after_type, after_id, after_key, limit
// Columns: importing, edges [[type, id, properties]] (of the other end)
MATCH (store:_Store {key: 'store'})
CALL () {
  MATCH (n:Entity {key: $node})
  WITH n
  MATCH (n)<-[r:$($kind)]-(m)
  WHERE ($type = '' OR m.type = $type)
    AND (m.type > $after_type OR m.type = $after_type AND (m.id > $after_id OR m.id = $after_id AND r.key > $after_key))
  WITH m, r ORDER BY m.type, m.id, r.key LIMIT $limit
  RETURN collect([m.type, m.id, properties(r)]) AS edges
}
RETURN store.importing AS importing, edges
