// Counts the change records after a revision that stem from given batches: whether a commit
// whose answer was lost took place. The transaction holds the lock.
// Parameters: after, ids
// Columns: count
MATCH (c:_Change)
WHERE c.revision > $after AND c.id IN $ids
RETURN count(c) AS count
