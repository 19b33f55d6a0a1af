// Answers the rule of permission by the graph alone. Each closure is collected without repeats before
// the next step, so that circles and diamonds cost no more than the nodes they are made of.
// Parameters: subject (key), resource (key), anyone [key], at (Unix ms), permissions [id], permission_keys [key]
// Columns: importing, head (read first), allowed
MATCH (store:_Store {key: 'store'})
WITH store.importing AS importing, store.head AS head
CALL () {
  MATCH (s:Entity {key: $p.subject})
  WHERE NOT s.status IS :: STRING NOT NULL OR s.status IN ['', 'active']
  MATCH (x:Entity {key: $p.resource})
  WITH s, x
  CALL (s) {
    MATCH (s)-[m:MEMBER_OF*0..]->(g)
    WHERE all(e IN m WHERE NOT e.expires_at IS :: INTEGER NOT NULL OR e.expires_at = 0 OR e.expires_at > $p.at)
    RETURN collect(DISTINCT g) AS sets
  }
  CALL () {
    MATCH (e:Entity) WHERE e.key IN $p.anyone
    RETURN collect(e) AS anyone
  }
  CALL (x) {
    MATCH (x)-[:CHILD_OF*0..]->(p)
    RETURN collect(DISTINCT p) AS places
  }
  UNWIND sets + anyone AS who
  UNWIND places AS place
  WITH who, place
  MATCH (who)-[g:CAN_ACCESS]->(place)
  WHERE (NOT g.expires_at IS :: INTEGER NOT NULL OR g.expires_at = 0 OR g.expires_at > $p.at)
    AND (g.condition IS NULL OR g.condition = '') AND g.condition_json IS NULL
  WITH collect(DISTINCT CASE WHEN g.role IS :: STRING NOT NULL THEN 'role:' + g.role END) AS roles,
    count(CASE WHEN g.actions IS :: LIST<STRING NOT NULL> NOT NULL AND any(a IN g.actions WHERE a IN $p.permissions) THEN 1 END) AS listed
  CALL (roles) {
    UNWIND roles AS key
    MATCH (role:Entity {key: key})
    WITH role
    MATCH (role)-[:INHERITS*0..]->(r)
    WITH DISTINCT r
    MATCH (p:Entity) WHERE p.key IN $p.permission_keys
    WITH r, p
    MATCH (r)-[grant:GRANTS]->(p)
    RETURN count(grant) AS granted
  }
  RETURN listed + granted > 0 AS allowed
}
RETURN importing, head, allowed
