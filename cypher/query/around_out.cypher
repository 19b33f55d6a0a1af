// Reads the edges of a kind that start at some nodes.
// Parameters: nodes [key], kind, limit (per node)
// Columns: kind, from_type, from_id, to_type, to_id, props
UNWIND $p.nodes AS key
MATCH (a:Entity {key: key})
CALL (a) {
  MATCH (a)-[r:$($p.kind)]->(b)
  RETURN r, b LIMIT $p.limit
}
RETURN type(r) AS kind, a.type AS from_type, a.id AS from_id, b.type AS to_type, b.id AS to_id, properties(r) AS props
