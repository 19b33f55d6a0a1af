-- Edges of some kinds that end at any of some nodes, by kind, start, end and key.
-- ?1 the kinds, ?2 the nodes, JSON lists
-- ?3, ?4, ?5, ?6 kind, start, end and key of the last edge of the page before,
--        none of whose kinds before ?3 is in ?1, or four empty texts
-- ?7 how many
-- No index has this order for several ends, so the rows are sorted: their keys,
-- which the index holds, and then no more than the page.
SELECT edge.kind, edge.src, edge.dst, edge.key, props, created, updated, revision
FROM (
  SELECT kind, src, dst, key
  FROM edge INDEXED BY edge_to
  WHERE kind IN (SELECT value FROM json_each(?1)) AND dst IN (SELECT value FROM json_each(?2))
    AND (kind > ?3 OR (src, dst, key) > (?4, ?5, ?6))
  ORDER BY kind, src, dst, key
  LIMIT ?7
) AS page CROSS JOIN edge ON edge.kind = page.kind AND edge.src = page.src AND edge.dst = page.dst AND edge.key = page.key
ORDER BY page.kind, page.src, page.dst, page.key
