// Finds the last revision at which an edge of a kind with each of some keys was written. Asking for the
// first in descending order would be one look at the end of the index, but tempts the planner to walk
// all of it; the maximum reads the index at the key alone.
// Parameters: kind, keys
// Columns: key, revision
UNWIND $keys AS key
CALL (key) {
  MATCH ()-[r:$($kind)]->()
  WHERE r.key = key AND r.revision >= 0
  RETURN max(r.revision) AS revision
}
WITH key, revision WHERE revision IS NOT NULL
RETURN key, revision
