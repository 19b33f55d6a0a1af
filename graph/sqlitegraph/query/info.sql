-- Which store this is and how far it has come.
SELECT id, head, oldest FROM store
