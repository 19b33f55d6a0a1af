// Ends an import, if it still has its claim: the store answers from here on. Tried again after a lost
// answer, it finds itself done and changes nothing.
// Parameters: import (its id), batch (number), head
// Columns: fresh (not ended before), count (1)
MATCH (store:_Store {key: 'store'})
WHERE store.importing = $p.import OR store.importing IS NULL AND store.imported_as = $p.import
SET store.lock = 1
WITH store
WITH store, store.importing = $p.import AND $p.batch > store.imported AS fresh
FOREACH (_ IN CASE WHEN fresh THEN [1] ELSE [] END |
  SET store.head = $p.head, store.oldest = $p.head, store.last_rest = $p.head, store.imported_as = $p.import
  REMOVE store.importing, store.imported
)
RETURN coalesce(fresh, false) AS fresh, 1 AS count
