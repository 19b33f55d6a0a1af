-- Edges of a kind with the empty key, by start and end: edges_by_key's twin
-- for the key that its index leaves out.
-- ?1 the kind
-- ?2, ?3 start and end of the last edge of the page before, or two empty texts
-- ?4 how many
SELECT kind, src, dst, key, props, created, updated, revision
FROM edge
WHERE kind = ?1 AND key = '' AND (src, dst) > (?2, ?3)
ORDER BY src, dst
LIMIT ?4
