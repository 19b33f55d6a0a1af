-- Edges of a kind that end at a node, by start and key.
-- ?1 the node, ?2 the kind
-- ?3, ?4 start and key of the last edge of the page before; at first the type
--        of start that is wanted and "/", or an empty text, and an empty text
-- ?5 where to end before: the type and "0", or "~", which follows every ref
-- ?6 how many
SELECT kind, src, dst, key, props, created, updated, revision
FROM edge
WHERE dst = ?1 AND kind = ?2 AND (src, key) > (?3, ?4) AND src < ?5
ORDER BY src, key
LIMIT ?6
