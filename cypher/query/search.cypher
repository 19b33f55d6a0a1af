// Finds nodes by expressions of Lucene, part for part, and returns the first of them, in order of the parts, and
// within one of _place and key; of a part that is resumed, those after a place. No more parts are looked at than it
// takes. Where a part finds as many as may be, there can be more, and the first of these are not those of all:
// nulls stand for them, and for all that would come after.
// Parameters: parts [{number, query, most, resumed}], place, after (key), limit
// Columns: importing, hits [[number (of the part), properties]]
MATCH (store:_Store {key: 'store'})
CALL () {
  UNWIND $p.parts AS part
  CALL (part) {
    CALL db.index.fulltext.queryNodes('trellis_search', part.query, {limit: part.most}) YIELD node
    WITH collect(node) AS nodes
    UNWIND CASE WHEN size(nodes) < part.most THEN nodes ELSE [i IN range(1, $p.limit) | null] END AS node
    WITH node
    WHERE node IS NULL OR NOT part.resumed OR node._place > $p.place OR node._place = $p.place AND node.key > $p.after
    RETURN node ORDER BY node._place, node.key LIMIT $p.limit
  }
  WITH part, node LIMIT $p.limit
  RETURN collect([part.number, properties(node)]) AS hits
}
RETURN store.importing AS importing, hits
