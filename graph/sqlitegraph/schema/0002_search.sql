-- What Search looks at. The row of a node has its number; it holds what
-- graph.SearchedOf makes of it, separated by spaces: words of titles as they
-- are, those of other texts with "_" before them, and tokens. All of them
-- differ, so that none shares rows with another that is not asked for. The
-- texts are folded already: the tokenizer has nothing to decide but where a
-- space is. They are not kept here beside the index; the node has them.
--
-- Beginnings of up to three letters are found by the index, with "_" four;
-- for longer ones the table word tells which words they begin.

CREATE VIRTUAL TABLE search USING fts5 (
    words, content = '', contentless_delete = 1, detail = none,
    prefix = '1 2 3 4', tokenize = "ascii tokenchars '_'"
);

-- Every word that a node has or had.
CREATE TABLE word (
    word TEXT PRIMARY KEY
) STRICT, WITHOUT ROWID;
