-- Every edge, in order.
SELECT kind, src, dst, key, props, created, updated, revision FROM edge ORDER BY kind, src, dst, key
