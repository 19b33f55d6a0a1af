-- Edges of some kinds that start at any of some nodes, by kind, start, end and key.
-- ?1 the kinds, ?2 the nodes, JSON lists
-- ?3, ?4, ?5, ?6 kind, start, end and key of the last edge of the page before,
--        none of whose kinds before ?3 is in ?1, or four empty texts
-- ?7 how many
-- SQLite walks both lists in order, which is the order that is wanted.
SELECT kind, src, dst, key, props, created, updated, revision
FROM edge
WHERE kind IN (SELECT value FROM json_each(?1)) AND src IN (SELECT value FROM json_each(?2))
  AND (kind > ?3 OR (src, dst, key) > (?4, ?5, ?6))
ORDER BY kind, src, dst, key
LIMIT ?7
