// Grants of a role (edges_by_key), and the last revision of any of them (last).
CREATE INDEX trellis_grant_key IF NOT EXISTS
FOR ()-[r:CAN_ACCESS]-() ON (r.key, r.revision)
