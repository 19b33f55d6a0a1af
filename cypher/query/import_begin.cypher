// Marks a store that has no changes as being imported into; every earlier import loses its claim.
// Parameters: import (its id)
// Columns: importing (the mark before), head
MATCH (store:_Store {key: 'store'})
SET store.lock = 1
WITH store, store.importing AS importing, store.head AS head
FOREACH (_ IN CASE WHEN head = 0 THEN [1] ELSE [] END |
  SET store.importing = $p.import, store.imported = 0
)
RETURN importing, head
