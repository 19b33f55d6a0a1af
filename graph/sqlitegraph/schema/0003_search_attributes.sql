-- The program knows more words of a node since this step, those of its
-- attributes: what there is is taken out, and indexed anew after it.

INSERT INTO search (search) VALUES ('delete-all');
DELETE FROM word;
