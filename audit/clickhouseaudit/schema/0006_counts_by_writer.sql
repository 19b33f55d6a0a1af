-- Counts by writer, so that what a delivery that broke off has counted can be told from what others
-- have: a writer's records are delivered one batch after the other. Rows from before have no writer.

ALTER TABLE event_counts_hourly{{.On}}
    ADD COLUMN IF NOT EXISTS writer LowCardinality(String) COMMENT 'Who wrote the records' CODEC(ZSTD(1)) AFTER start,
    MODIFY ORDER BY (scope, start, action, outcome, actor, writer)
;

ALTER TABLE event_counts_hourly_view{{.On}} MODIFY QUERY
SELECT
    arrayJoin(arrayConcat([''], arrayDistinct(arrayFilter(node -> startsWith(node, 'organization:'), within)))) AS scope,
    toStartOfHour(time) AS start,
    writer,
    action,
    outcome,
    actor,
    toInt64(count()) AS count
FROM audit_events AS r
GROUP BY scope, start, writer, action, outcome, actor
;

ALTER TABLE event_counts_daily{{.On}}
    ADD COLUMN IF NOT EXISTS writer LowCardinality(String) COMMENT 'Who wrote the records' CODEC(ZSTD(1)) AFTER start,
    MODIFY ORDER BY (scope, start, action, outcome, actor, writer)
;

ALTER TABLE event_counts_daily_view{{.On}} MODIFY QUERY
SELECT
    arrayJoin(arrayConcat([''], arrayDistinct(arrayFilter(node -> startsWith(node, 'organization:'), within)))) AS scope,
    toDateTime(toStartOfDay(time), 'UTC') AS start,
    writer,
    action,
    outcome,
    actor,
    toInt64(count()) AS count
FROM audit_events AS r
GROUP BY scope, start, writer, action, outcome, actor
;

ALTER TABLE decision_counts_hourly{{.On}}
    ADD COLUMN IF NOT EXISTS writer LowCardinality(String) COMMENT 'Who wrote the records' CODEC(ZSTD(1)) AFTER start,
    MODIFY ORDER BY (scope, start, permission, answer, actor, writer)
;

ALTER TABLE decision_counts_hourly_view{{.On}} MODIFY QUERY
SELECT
    arrayJoin(arrayConcat([''], arrayDistinct(arrayFilter(node -> startsWith(node, 'organization:'), within)))) AS scope,
    toStartOfHour(time) AS start,
    writer,
    permission,
    answer,
    actor,
    toInt64(sum(r.weight)) AS count
FROM access_decisions AS r
GROUP BY scope, start, writer, permission, answer, actor
;

ALTER TABLE decision_counts_daily{{.On}}
    ADD COLUMN IF NOT EXISTS writer LowCardinality(String) COMMENT 'Who wrote the records' CODEC(ZSTD(1)) AFTER start,
    MODIFY ORDER BY (scope, start, permission, answer, actor, writer)
;

ALTER TABLE decision_counts_daily_view{{.On}} MODIFY QUERY
SELECT
    arrayJoin(arrayConcat([''], arrayDistinct(arrayFilter(node -> startsWith(node, 'organization:'), within)))) AS scope,
    toDateTime(toStartOfDay(time), 'UTC') AS start,
    writer,
    permission,
    answer,
    actor,
    toInt64(sum(r.weight)) AS count
FROM access_decisions AS r
GROUP BY scope, start, writer, permission, answer, actor
;

ALTER TABLE request_counts_hourly{{.On}}
    ADD COLUMN IF NOT EXISTS writer LowCardinality(String) COMMENT 'Who wrote the records' CODEC(ZSTD(1)) AFTER start,
    MODIFY ORDER BY (start, route, status, key, actor, writer)
;

ALTER TABLE request_counts_hourly_view{{.On}} MODIFY QUERY
SELECT
    toStartOfHour(time) AS start,
    writer,
    route,
    status,
    key,
    actor,
    toInt64(count()) AS count,
    toInt64(countIf(status >= 400)) AS errors,
    toInt64(sum(r.bytes_out)) AS bytes_out,
    toInt64(sum(r.latency)) AS latency
FROM api_key_usage AS r
GROUP BY start, writer, route, status, key, actor
;

ALTER TABLE request_counts_daily{{.On}}
    ADD COLUMN IF NOT EXISTS writer LowCardinality(String) COMMENT 'Who wrote the records' CODEC(ZSTD(1)) AFTER start,
    MODIFY ORDER BY (start, route, status, key, actor, writer)
;

ALTER TABLE request_counts_daily_view{{.On}} MODIFY QUERY
SELECT
    toDateTime(toStartOfDay(time), 'UTC') AS start,
    writer,
    route,
    status,
    key,
    actor,
    toInt64(count()) AS count,
    toInt64(countIf(status >= 400)) AS errors,
    toInt64(sum(r.bytes_out)) AS bytes_out,
    toInt64(sum(r.latency)) AS latency
FROM api_key_usage AS r
GROUP BY start, writer, route, status, key, actor
;

-- What has been acknowledged must be on the disk, also when the power fails: the spool forgets it.
ALTER TABLE audit_events{{.On}} MODIFY SETTING fsync_after_insert = 1, fsync_part_directory = 1
;
ALTER TABLE access_decisions{{.On}} MODIFY SETTING fsync_after_insert = 1, fsync_part_directory = 1
;
ALTER TABLE api_key_usage{{.On}} MODIFY SETTING fsync_after_insert = 1, fsync_part_directory = 1
;
ALTER TABLE email_audit{{.On}} MODIFY SETTING fsync_after_insert = 1, fsync_part_directory = 1
;
ALTER TABLE mfa_events{{.On}} MODIFY SETTING fsync_after_insert = 1, fsync_part_directory = 1
;
ALTER TABLE rate_limit_events{{.On}} MODIFY SETTING fsync_after_insert = 1, fsync_part_directory = 1
;
