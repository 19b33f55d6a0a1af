// What Search looks at: texts that are folded already, cut at spaces and not changed any more. A search
// finds what was committed before it.
CREATE FULLTEXT INDEX trellis_search IF NOT EXISTS
FOR (n:Entity) ON EACH [n._whole, n._title, n._body, n._scope, n._place]
OPTIONS {indexConfig: {`fulltext.analyzer`: 'whitespace', `fulltext.eventually_consistent`: false}}
