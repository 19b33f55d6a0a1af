// Creates edges of one kind, once, if the import still has its claim. A count below the number of
// rows tells that an end is missing.
// Parameters: import (its id), batch (number), kind, rows [{from, to, props}]
// Columns: fresh (not created before), count
MATCH (store:_Store {key: 'store', importing: $p.import})
SET store.lock = 1
WITH store
WITH store, coalesce(store.imported, 0) < $p.batch AS fresh
SET store.imported = $p.batch
WITH fresh
CALL (fresh) {
  UNWIND CASE WHEN fresh THEN $p.rows ELSE [] END AS row
  MATCH (a:Entity {key: row.from})
  MATCH (b:Entity {key: row.to})
  CREATE (a)-[r:$($p.kind)]->(b)
  SET r = row.props
  RETURN count(*) AS count
}
RETURN fresh, count
