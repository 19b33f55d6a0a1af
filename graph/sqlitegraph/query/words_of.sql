-- Lists those words of a list that there are.
-- Parameters: ?1 JSON list
-- Columns: word
SELECT word.word FROM json_each(?1) AS j CROSS JOIN word ON word.word = j.value
