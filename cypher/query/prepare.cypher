// Writes the store node, with a fresh id, and the nodes every store holds, where they are missing.
// Parameters: id, nodes [{key, label, props}]
// Columns: id (of the store), importing, search (the key up to which nodes have what Search looks at)
MERGE (store:_Store {key: 'store'})
ON CREATE SET store.id = $p.id, store.head = 0, store.oldest = 0, store.search = '~'
WITH store
CALL (store) {
  UNWIND CASE WHEN store.importing IS NULL THEN $p.nodes ELSE [] END AS row
  MERGE (n:Entity {key: row.key})
  ON CREATE SET n = row.props, n:$(row.label)
}
RETURN store.id AS id, store.importing AS importing, store.search AS search
