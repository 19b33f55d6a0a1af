-- Finds nodes by three expressions of FTS5, one for each rank, in the order of
-- their numbers. What a rank before fills the page with spares those after.
-- Parameters: ?1 ?2 ?3 expressions, ?4 ?5 ?6 the number to go on after in
--   each, ?7 limit
-- Columns: rank, number, then those of a node
SELECT hit.rank, hit.number, ref, names, props, created, updated, revision
FROM (
    SELECT * FROM (SELECT 1 AS rank, rowid AS number FROM search WHERE search MATCH ?1 AND rowid > ?4 ORDER BY rowid LIMIT ?7)
    UNION ALL
    SELECT * FROM (SELECT 2, rowid FROM search WHERE search MATCH ?2 AND rowid > ?5 ORDER BY rowid LIMIT ?7)
    UNION ALL
    SELECT * FROM (SELECT 3, rowid FROM search WHERE search MATCH ?3 AND rowid > ?6 ORDER BY rowid LIMIT ?7)
    LIMIT ?7
) AS hit CROSS JOIN node ON node.id = hit.number
