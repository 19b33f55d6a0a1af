// Records which of these files have been run, one (:_Schema) node each.
// Labels that begin with "_" are the store's own: no type of node can get one.
CREATE CONSTRAINT trellis_schema_number IF NOT EXISTS
FOR (n:_Schema) REQUIRE n.number IS UNIQUE
