// Finds the last revision at which a grant with each of some keys was written. The hint keeps the
// planner on one entry of the index for each key, whatever it thinks of a graph that is still small.
// Parameters: keys
// Columns: key, revision
UNWIND $p.keys AS key
CALL (key) {
  MATCH ()-[r:CAN_ACCESS]->()
  USING INDEX SEEK r:CAN_ACCESS(key, revision)
  WHERE r.key = key AND r.revision >= 0
  RETURN r.revision AS revision
  ORDER BY r.revision DESC
  LIMIT 1
}
RETURN key, revision
