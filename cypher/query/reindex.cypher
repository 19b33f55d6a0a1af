// Gives nodes what Search looks at, unless they have been written since they were read: then they have it.
// Keeps in the store node how far this has come; a process that comes later goes on there.
// Parameters: rows [{key, revision, searched}], upto (key)
// Columns: search (how far it has come)
MATCH (store:_Store {key: 'store'})
SET store.lock = 1
WITH store
CALL () {
  UNWIND $p.rows AS row
  MATCH (n:Entity {key: row.key})
  WHERE n.revision = row.revision
  SET n += row.searched
}
SET store.search = CASE WHEN coalesce(store.search, '') < $p.upto THEN $p.upto ELSE store.search END
RETURN store.search AS search
