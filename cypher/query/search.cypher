// Finds nodes by an expression of Lucene and returns the first of them after a place, in order of rank,
// _place and key. If as many are found as may be, there can be more, and the first of these are not those of all:
// then none is looked at.
// Words are patterns with spaces around them, to be found in texts between spaces; of each list any will do.
// Parameters: query, most, whole (token, ''), words [[pattern]], rank, place, after (key), limit
// Columns: importing, count (found), hits [[rank, properties]]
MATCH (store:_Store {key: 'store'})
CALL () {
  CALL db.index.fulltext.queryNodes('trellis_search', $query, {limit: $most}) YIELD node
  WITH collect(node) AS nodes
  WITH nodes, size(nodes) AS count
  UNWIND CASE WHEN 0 < count < $most THEN nodes ELSE [null] END AS node
  WITH count, node, ' ' + coalesce(node._title, '') + ' ' AS title
  WITH count, node, CASE
    WHEN $whole <> '' AND ' ' + coalesce(node._whole, '') + ' ' CONTAINS $whole THEN 1
    WHEN all(list IN $words WHERE any(word IN list WHERE title CONTAINS word)) THEN 2
    ELSE 3 END AS rank
  ORDER BY rank, node._place, node.key
  WITH count, collect({node: node, rank: rank}) AS found
  RETURN count,
    [hit IN found WHERE hit.node IS NOT NULL AND (hit.rank > $rank OR hit.rank = $rank AND
      (hit.node._place > $place OR hit.node._place = $place AND hit.node.key > $after))
    ][..$limit] AS page
}
RETURN store.importing AS importing, count, [hit IN page | [hit.rank, properties(hit.node)]] AS hits
