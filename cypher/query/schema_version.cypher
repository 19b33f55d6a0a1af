// Tells how far the schema is: the number of the last file that was run.
// Parameters: none
// Columns: number (0 for none)
OPTIONAL MATCH (v:_Schema)
RETURN coalesce(max(v.number), 0) AS number
