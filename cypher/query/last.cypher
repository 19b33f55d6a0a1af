// Finds the last revision at which an edge of a kind with each of some keys, none empty, was written.
// Grants, whose keys have an index, have last_grant.
// Parameters: kind, keys
// Columns: key, revision
MATCH ()-[r:$($p.kind)]->()
WHERE r.key IN $p.keys AND r.revision >= 0
RETURN r.key AS key, max(r.revision) AS revision
