// Finds the last revision at which an edge of a kind with each of some keys was written. Where an index
// holds key and revision, it reads that index alone, at these keys.
// Parameters: kind, keys
// Columns: key, revision
MATCH ()-[r:$($kind)]->()
WHERE r.key IN $keys AND r.revision >= 0
RETURN r.key AS key, max(r.revision) AS revision
