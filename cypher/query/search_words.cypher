// Finds some nodes by an expression of Lucene and returns the texts that are searched in them.
// Parameters: query, most
// Columns: importing, texts [text]
MATCH (store:_Store {key: 'store'})
CALL () {
  CALL db.index.fulltext.queryNodes('trellis_search', $query, {limit: $most}) YIELD node
  RETURN collect(coalesce(node._title, '') + ' ' + coalesce(node._body, '')) AS texts
}
RETURN store.importing AS importing, texts
