-- Lists the words with a beginning, in order.
-- Parameters: ?1 beginning, ?2 what is after all words with it, ?3 limit
-- Columns: word
SELECT word FROM word WHERE word >= ?1 AND word < ?2 ORDER BY word LIMIT ?3
