// Takes the write lock, held until the transaction ends, and reads the head.
// Parameters: none
// Columns: importing, id, head, oldest
MATCH (store:_Store {key: 'store'})
SET store.lock = 1
WITH store
RETURN store.importing AS importing, store.id AS id, store.head AS head, store.oldest AS oldest
