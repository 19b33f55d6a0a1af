// Reads the change records after a revision, in order. The first row is the store's and has no record.
// Parameters: after, limit
// Columns: importing, head, oldest, revision, data (JSON, or null), packed (the same in gzip, or null)
MATCH (store:_Store {key: 'store'})
RETURN store.importing AS importing, store.head AS head, store.oldest AS oldest, null AS revision, null AS data, null AS packed
UNION ALL
CALL () {
  MATCH (c:_Change)
  WHERE c.revision > $p.after
  RETURN c ORDER BY c.revision LIMIT $p.limit
}
RETURN null AS importing, null AS head, null AS oldest, c.revision AS revision, c.data AS data, c.packed AS packed
