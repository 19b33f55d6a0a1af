-- The rule of permission (graph.CheckQuery), by SQL alone.
-- ?1 the subject, ?2 the resource
-- ?3 the permission's names, a JSON list (graph.Wildcards)
-- ?4 now, Unix milliseconds
-- Columns: whether it holds, the store's head.
WITH RECURSIVE
wanted(name) AS (SELECT value FROM json_each(?3)),
holder(ref) AS (
    SELECT ref FROM node
    WHERE ref = ?1
      AND (json_type(props, '$.status') IS NOT 'text' OR props ->> '$.status' IN ('', 'active'))
      AND EXISTS (SELECT 1 FROM node WHERE ref = ?2)
),
member(ref) AS (
    SELECT ref FROM holder
    UNION
    SELECT edge.dst
    FROM member CROSS JOIN edge ON edge.kind = 'MEMBER_OF' AND edge.src = member.ref
    WHERE edge.expires IS NULL OR edge.expires > ?4
),
subject(ref) AS (
    SELECT ref FROM member
    UNION ALL
    SELECT 'everyone/*' FROM holder
    UNION ALL
    SELECT 'authenticated/*' FROM holder WHERE ref <> 'everyone/*'
),
place(ref) AS (
    SELECT ?2
    UNION
    SELECT edge.dst
    FROM place CROSS JOIN edge ON edge.src = place.ref AND edge.kind = 'CHILD_OF'
),
given(props) AS MATERIALIZED (
    SELECT edge.props
    FROM subject CROSS JOIN place
    CROSS JOIN edge ON edge.src = subject.ref AND edge.kind = 'CAN_ACCESS' AND edge.dst = place.ref
    WHERE (edge.expires IS NULL OR edge.expires > ?4)
      AND coalesce(edge.props ->> '$.condition', '') = ''
),
role(ref) AS (
    SELECT 'role/' || (props ->> '$.role') FROM given
    WHERE json_type(props, '$.role') = 'text'
    UNION
    SELECT edge.dst
    FROM role CROSS JOIN edge ON edge.src = role.ref AND edge.kind = 'INHERITS'
)
SELECT
    EXISTS (
        SELECT 1
        FROM role CROSS JOIN wanted
        CROSS JOIN edge ON edge.src = role.ref AND edge.kind = 'GRANTS' AND edge.dst = 'permission/' || wanted.name
    )
    OR EXISTS (
        SELECT 1
        FROM given CROSS JOIN json_each(given.props, '$.actions') AS action
        JOIN wanted ON wanted.name = action.value
        WHERE json_type(given.props, '$.actions') = 'array'
          AND NOT EXISTS (SELECT 1 FROM json_each(given.props, '$.actions') WHERE type <> 'text')
    ),
    (SELECT head FROM store)
