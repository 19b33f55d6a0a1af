-- Tells whether any node matches an expression of FTS5.
-- Parameters: ?1 expression
-- Columns: found
SELECT EXISTS (SELECT 1 FROM search WHERE search MATCH ?1)
