-- Edges of a kind with a key that is not empty, by start and end.
-- ?1 the kind, ?2 the key
-- ?3, ?4 start and end of the last edge of the page before, or two empty texts
-- ?5 how many
SELECT kind, src, dst, key, props, created, updated, revision
FROM edge INDEXED BY edge_key
WHERE kind = ?1 AND key = ?2 AND key <> '' AND (src, dst) > (?3, ?4)
ORDER BY src, dst
LIMIT ?5
