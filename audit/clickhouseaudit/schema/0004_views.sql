-- What analysts ask most, with names that read well. They hold no data.

CREATE VIEW IF NOT EXISTS changes{{.On}} AS
SELECT
    time,
    actor AS who,
    action,
    node AS what,
    other AS other_end,
    before,
    after,
    within,
    revision,
    request_id,
    address
FROM audit_events
WHERE outcome = 'success' AND revision > 0
COMMENT 'Who changed what, with what it was before and after'
;

CREATE VIEW IF NOT EXISTS refusals{{.On}} AS
SELECT
    time,
    actor AS who,
    action AS lacking,
    node AS what,
    reason,
    outcome,
    within,
    request_id,
    address
FROM audit_events
WHERE outcome != 'success'
COMMENT 'Who was refused what, or failed at it, and why'
;

CREATE VIEW IF NOT EXISTS decisions{{.On}} AS
SELECT
    time,
    actor AS asked_by,
    subject AS who,
    permission AS may,
    resource AS what,
    answer,
    path AS because,
    weight,
    latency / 1000 AS milliseconds,
    within,
    request_id
FROM access_decisions
COMMENT 'Which permission questions were asked, and the answers; sum(weight) counts them'
;

CREATE VIEW IF NOT EXISTS requests{{.On}} AS
SELECT
    time,
    actor AS who,
    key,
    method,
    route,
    status,
    latency / 1000 AS milliseconds,
    bytes_in,
    bytes_out,
    address,
    agent,
    request_id
FROM api_key_usage
COMMENT 'Every request to the API'
;

CREATE VIEW IF NOT EXISTS key_usage_by_day{{.On}} AS
SELECT
    toDate(start) AS day,
    key,
    actor AS who,
    sum(c.count) AS requests,
    sum(c.errors) AS errors,
    sum(c.bytes_out) AS bytes_out,
    sum(c.latency) / sum(c.count) / 1000 AS milliseconds
FROM request_counts_daily AS c
WHERE key != ''
GROUP BY day, key, who
COMMENT 'How much each API key was used on each day, with the mean time to answer'
;

CREATE VIEW IF NOT EXISTS keys_last_used{{.On}} AS
SELECT key, max(k.time) AS last_used
FROM key_last_used AS k
GROUP BY key
COMMENT 'When each API key was last used'
;
