// Reads the edges of a kind that start at nodes of a type, by both ends and key, a page at a time. The
// keys of the starting nodes are those from that of the last edge read to "type;".
// Parameters: kind, from (key), end (key), after_type, after_id, after_key, limit
// Columns: from (id), type, id, props
MATCH (a:Entity)
USING INDEX a:Entity(key)
WHERE a.key >= $p.from AND a.key < $p.end
WITH a ORDER BY a.key
MATCH (a)-[r:$($p.kind)]->(b)
WHERE a.key > $p.from OR b.type > $p.after_type OR b.type = $p.after_type AND (b.id > $p.after_id OR b.id = $p.after_id AND r.key > $p.after_key)
RETURN a.id AS from, b.type AS type, b.id AS id, properties(r) AS props
ORDER BY a.key, b.type, b.id, r.key LIMIT $p.limit
