// One (:_Name {name, key}) node per unique name, key being its holder's.
CREATE CONSTRAINT trellis_name IF NOT EXISTS
FOR (n:_Name) REQUIRE n.name IS UNIQUE
