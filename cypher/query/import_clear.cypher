// Deletes some of what is in the store of an import, so that it starts from nothing.
// Parameters: import (its id), limit
// Columns: count (of nodes deleted)
MATCH (store:_Store {key: 'store', importing: $p.import})
CALL () {
  MATCH (n) WHERE n:Entity OR n:_Name OR n:_Change OR n:_Consumer
  WITH n LIMIT $p.limit
  DETACH DELETE n
  RETURN count(*) AS count
}
RETURN count
