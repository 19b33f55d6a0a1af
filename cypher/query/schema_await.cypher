// Waits until every index can be used.
// Parameters: seconds
// Columns: none
CALL db.awaitIndexes($p.seconds)
