-- What Search looks at. The row of a node has its number; it holds what
-- graph.SearchedOf makes of it, parts separated by spaces. The texts are
-- folded already, so that the tokenizer has nothing to decide but where a
-- space is. They are not kept here beside the index: the node has them.
--
-- Words of up to three letters are found by the index of beginnings, longer
-- ones by the table word, which tells the words that they begin.

CREATE VIRTUAL TABLE search USING fts5 (
    whole, title, body, scope,
    content = '', contentless_delete = 1, detail = column,
    prefix = '1 2 3', tokenize = "ascii tokenchars '_'"
);

-- Every word that a node has or had.
CREATE TABLE word (
    word TEXT PRIMARY KEY
) STRICT, WITHOUT ROWID;
