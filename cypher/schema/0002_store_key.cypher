// The one (:_Store) node: the store's id, head and oldest revision, and the write lock.
CREATE CONSTRAINT trellis_store_key IF NOT EXISTS
FOR (n:_Store) REQUIRE n.key IS UNIQUE
