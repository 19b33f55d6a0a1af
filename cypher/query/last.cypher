// Finds the last revision at which an edge of a kind with each of some keys was written.
// The order of the index, key and revision, makes it one look at its end per key.
// Parameters: kind, keys
// Columns: key, revision
UNWIND $keys AS key
CALL (key) {
  MATCH ()-[r:$($kind)]->()
  WHERE r.key = key AND r.revision >= 0
  RETURN r.revision AS revision ORDER BY r.key DESC, r.revision DESC LIMIT 1
}
RETURN key, revision
