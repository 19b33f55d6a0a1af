// Deletes the oldest change records, as far as they are older than a time and every consumer is past them.
// Parameters: older_than (Unix ms), limit
// Columns: importing, count (of records deleted)
MATCH (store:_Store {key: 'store'})
SET store.lock = 1
WITH store
CALL (store) {
  OPTIONAL MATCH (consumer:_Consumer)
  RETURN min(consumer.cursor) AS past
}
CALL (store) {
  MATCH (c:_Change)
  WHERE c.revision > store.oldest
  WITH c ORDER BY c.revision LIMIT $p.limit
  RETURN collect(c) AS oldest
}
WITH store, oldest, head([c IN oldest WHERE c.time >= $p.older_than OR c.revision > past | c.revision]) AS stop
WITH store, [c IN oldest WHERE stop IS NULL OR c.revision < stop] AS gone
WITH store, gone, size(gone) AS count, [c IN gone | c.revision][-1] AS last
FOREACH (c IN gone | DELETE c)
SET store.oldest = coalesce(last, store.oldest)
RETURN store.importing AS importing, count
