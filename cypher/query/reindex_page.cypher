// Reads nodes of all types by key, a page at a time.
// Parameters: after (key), limit
// Columns: props
MATCH (n:Entity)
WHERE n.key > $p.after
RETURN properties(n) AS props ORDER BY n.key LIMIT $p.limit
