// Finds the type of the first node after a key: with "type;" as the key, the next type there is.
// Parameters: after (key)
// Columns: type
MATCH (n:Entity)
WHERE n.key >= $p.after
RETURN n.type AS type ORDER BY n.key LIMIT 1
