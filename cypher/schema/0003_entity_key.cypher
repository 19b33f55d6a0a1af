// "type:id" of every node. Serves look-ups, and listings of one type in order of id.
CREATE CONSTRAINT trellis_entity_key IF NOT EXISTS
FOR (n:Entity) REQUIRE n.key IS UNIQUE
