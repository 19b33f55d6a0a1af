// The consumers of the feed: cursor and lease.
CREATE CONSTRAINT trellis_consumer_name IF NOT EXISTS
FOR (n:_Consumer) REQUIRE n.name IS UNIQUE
