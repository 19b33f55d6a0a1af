// Finds words that may stand in for others: for each that no node has, by an expression of Lucene, the words with
// its first letter in some nodes that have one like it, by another.
// Parameters: words [{word, begins, like, first}], most (nodes)
// Columns: importing, words [[word, [word of a node]]] (those that are found are not there)
MATCH (store:_Store {key: 'store'})
CALL () {
  UNWIND $p.words AS word
  CALL (word) {
    CALL db.index.fulltext.queryNodes('trellis_search', word.begins, {limit: 1}) YIELD node
    RETURN count(*) AS there
  }
  WITH word WHERE there = 0
  CALL (word) {
    CALL db.index.fulltext.queryNodes('trellis_search', word.like, {limit: $p.most}) YIELD node
    UNWIND [w IN split(coalesce(node._title, '') + ' ' + coalesce(node._body, ''), ' ') WHERE w STARTS WITH word.first] AS w
    RETURN collect(DISTINCT w) AS similar
  }
  RETURN collect([word.word, similar]) AS words
}
RETURN store.importing AS importing, words
