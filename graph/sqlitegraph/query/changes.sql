-- Change records after a revision. Always at least one row, so that what has
-- been trimmed is known at the same moment.
-- ?1 the revision, ?2 how many
SELECT store.oldest, c.body
FROM store LEFT JOIN (
    SELECT revision, body FROM change WHERE revision > ?1 ORDER BY revision LIMIT ?2
) AS c
ORDER BY c.revision
