-- Nodes by their refs, in their order.
-- ?1 the refs, a JSON list
SELECT ref, names, props, created, updated, revision
FROM node
WHERE ref IN (SELECT value FROM json_each(?1))
ORDER BY ref
