// Lists the edges of some kinds that start at any of some nodes, by kind, start, end and key, a page at a time.
// Parameters: nodes (keys, distinct), kinds, after_kind, after_from_type, after_from_id, after_to_type, after_to_id, after_key, limit
// Columns: importing, edges [[kind, from type, from id, to type, to id, properties]]
MATCH (store:_Store {key: 'store'})
CALL () {
  UNWIND $p.nodes AS key
  MATCH (a:Entity {key: key})
  WITH a
  MATCH (a)-[r:$any($p.kinds)]->(b)
  WITH type(r) AS kind, a, b, r
  WHERE kind > $p.after_kind OR kind = $p.after_kind AND (a.type > $p.after_from_type OR a.type = $p.after_from_type
    AND (a.id > $p.after_from_id OR a.id = $p.after_from_id AND (b.type > $p.after_to_type OR b.type = $p.after_to_type
    AND (b.id > $p.after_to_id OR b.id = $p.after_to_id AND r.key > $p.after_key))))
  WITH kind, a, b, r ORDER BY kind, a.type, a.id, b.type, b.id, r.key LIMIT $p.limit
  RETURN collect([kind, a.type, a.id, b.type, b.id, properties(r)]) AS edges
}
RETURN store.importing AS importing, edges
