-- Nodes of a type, by id.
-- ?1 where to start after: the type and "/", or the last ref of the page before
-- ?2 where to end before: the type and "0", which follows "/"
-- ?3 how many
SELECT ref, names, props, created, updated, revision
FROM node
WHERE ref > ?1 AND ref < ?2
ORDER BY ref
LIMIT ?3
