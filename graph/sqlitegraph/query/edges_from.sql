-- Edges of a kind that start at a node, by end and key.
-- ?1 the node, ?2 the kind
-- ?3, ?4 end and key of the last edge of the page before, or two empty texts
-- ?5 how many
SELECT kind, src, dst, key, props, created, updated, revision
FROM edge
WHERE src = ?1 AND kind = ?2 AND (dst, key) > (?3, ?4)
ORDER BY dst, key
LIMIT ?5
