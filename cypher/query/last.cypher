// Finds the last revision at which an edge of a kind with each of some keys was written.
// Parameters: kind, keys
// Columns: key, revision
UNWIND $keys AS key
CALL (key) {
  MATCH ()-[r:$($kind)]->()
  WHERE r.key = key
  RETURN max(r.revision) AS revision
}
WITH key, revision WHERE revision IS NOT NULL
RETURN key, revision
