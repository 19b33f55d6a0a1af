// The change feed, read in order of revision.
CREATE CONSTRAINT trellis_change_revision IF NOT EXISTS
FOR (n:_Change) REQUIRE n.revision IS UNIQUE
