// Takes, renews or releases a consumer's lease and moves its cursor, if nobody else has the lease.
// Parameters: consumer, holder, now, until, cursor (-1: not given); times in Unix ms; until 0 releases
// Columns: importing, mine, cursor, holder, until
MATCH (store:_Store {key: 'store'})
MERGE (c:_Consumer {name: $p.consumer})
ON CREATE SET c.cursor = CASE WHEN $p.cursor < 0 THEN store.head ELSE $p.cursor END, c.holder = '', c.until = 0
SET c.lock = 1
WITH store, c
WITH store, c, c.until <= $p.now OR c.holder IN ['', $p.holder] AS mine
FOREACH (_ IN CASE WHEN mine THEN [1] ELSE [] END |
  SET c.cursor = CASE WHEN $p.cursor > c.cursor THEN $p.cursor ELSE c.cursor END,
      c.holder = CASE WHEN $p.until = 0 THEN '' ELSE $p.holder END,
      c.until = $p.until
)
RETURN store.importing AS importing, mine, c.cursor AS cursor, c.holder AS holder, c.until AS until
