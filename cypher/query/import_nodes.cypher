// Creates nodes of one label, once, if the import still has its claim.
// Parameters: import (its id), batch (number), label, rows [properties]
// Columns: fresh (not created before), count
MATCH (store:_Store {key: 'store', importing: $p.import})
SET store.lock = 1
WITH store
WITH store, coalesce(store.imported, 0) < $p.batch AS fresh
SET store.imported = $p.batch
WITH fresh
CALL (fresh) {
  UNWIND CASE WHEN fresh THEN $p.rows ELSE [] END AS row
  CREATE (n:Entity:$($p.label))
  SET n = row
  RETURN count(*) AS count
}
RETURN fresh, count
