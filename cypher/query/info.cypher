// Tells which store this is and how far it has come.
// Parameters: none
// Columns: importing, id, head, oldest
MATCH (store:_Store {key: 'store'})
RETURN store.importing AS importing, store.id AS id, store.head AS head, store.oldest AS oldest
