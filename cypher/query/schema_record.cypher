// Records that a schema file was run. Twice is harmless.
// Parameters: number, name, now (Unix ms)
// Columns: none
MERGE (v:_Schema {number: $p.number})
ON CREATE SET v.name = $p.name, v.applied_at = $p.now
