// Reads the edges of a kind that end at some nodes.
// Parameters: nodes [key], kind, limit (per node)
// Columns: kind, from_type, from_id, to_type, to_id, props
UNWIND $p.nodes AS key
MATCH (b:Entity {key: key})
CALL (b) {
  MATCH (b)<-[r:$($p.kind)]-(a)
  RETURN r, a LIMIT $p.limit
}
RETURN type(r) AS kind, a.type AS from_type, a.id AS from_id, b.type AS to_type, b.id AS to_id, properties(r) AS props
