-- The program looks at more of a node since this step: its attributes, and its
-- type and organization as one token. What there is is taken out, and indexed
-- anew after it.

INSERT INTO search (search) VALUES ('delete-all');
DELETE FROM word;
