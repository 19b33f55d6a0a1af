// Lists every kind of edge that was ever written.
// Parameters: none
// Columns: kind
CALL db.relationshipTypes() YIELD relationshipType
RETURN relationshipType AS kind
