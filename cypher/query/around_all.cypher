// Reads every edge at either end of some nodes; one that joins two of them comes twice.
// Parameters: nodes [key]
// Columns: kind, from_type, from_id, to_type, to_id, props
UNWIND $p.nodes AS key
MATCH (n:Entity {key: key})
WITH n
MATCH (n)-[r]-()
WITH r, startNode(r) AS a, endNode(r) AS b
RETURN type(r) AS kind, a.type AS from_type, a.id AS from_id, b.type AS to_type, b.id AS to_id, properties(r) AS props
