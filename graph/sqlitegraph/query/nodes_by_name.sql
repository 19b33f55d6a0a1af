-- The nodes that hold any of the names, by ref.
-- ?1 the names, a JSON list
SELECT ref, names, props, created, updated, revision
FROM node
WHERE ref IN (SELECT name.ref FROM name WHERE name.name IN (SELECT value FROM json_each(?1)))
ORDER BY ref
