// Counts the change records after a revision that stem from given batches: whether a commit
// whose answer was lost took place. The transaction holds the lock.
// Parameters: after, ids
// Columns: count
MATCH (c:_Change)
WHERE c.revision > $p.after AND c.id IN $p.ids
RETURN count(c) AS count
