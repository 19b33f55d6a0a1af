-- Counts by hour and by day, kept for longer than the records. A scope is '' for everything, or
-- an organization. Views write them in the insert that writes the records, and take part in its
-- deduplication.

CREATE TABLE IF NOT EXISTS event_counts_hourly{{.On}} (
    scope LowCardinality(String) COMMENT 'Empty for everything, or the organization that it was in' CODEC(ZSTD(1)),
    start DateTime('UTC') COMMENT 'When the hour began, in UTC' CODEC(Delta(4), ZSTD(1)),
    action LowCardinality(String) COMMENT 'What was done, as type:verb' CODEC(ZSTD(1)),
    outcome LowCardinality(String) COMMENT 'success, denied or failure' CODEC(ZSTD(1)),
    actor String COMMENT 'Who did it, as type:id' CODEC(ZSTD(1)),
    count Int64 COMMENT 'Events' CODEC(T64, ZSTD(1))
)
ENGINE = {{.Engine "SummingMergeTree" "event_counts_hourly"}}
PARTITION BY toYYYYMM(start)
ORDER BY (scope, start, action, outcome, actor)
{{.TTL "event_counts_hourly"}}SETTINGS {{.Window}}, {{.Expiry}}
COMMENT 'Events counted by hour'
;

CREATE MATERIALIZED VIEW IF NOT EXISTS event_counts_hourly_view{{.On}} TO event_counts_hourly AS
SELECT
    arrayJoin(arrayConcat([''], arrayDistinct(arrayFilter(node -> startsWith(node, 'organization:'), within)))) AS scope,
    toStartOfHour(time) AS start,
    action,
    outcome,
    actor,
    toInt64(count()) AS count
FROM audit_events AS r
GROUP BY scope, start, action, outcome, actor
;

CREATE TABLE IF NOT EXISTS event_counts_daily{{.On}} (
    scope LowCardinality(String) COMMENT 'Empty for everything, or the organization that it was in' CODEC(ZSTD(1)),
    start DateTime('UTC') COMMENT 'When the day began, in UTC' CODEC(Delta(4), ZSTD(1)),
    action LowCardinality(String) COMMENT 'What was done, as type:verb' CODEC(ZSTD(1)),
    outcome LowCardinality(String) COMMENT 'success, denied or failure' CODEC(ZSTD(1)),
    actor String COMMENT 'Who did it, as type:id' CODEC(ZSTD(1)),
    count Int64 COMMENT 'Events' CODEC(T64, ZSTD(1))
)
ENGINE = {{.Engine "SummingMergeTree" "event_counts_daily"}}
PARTITION BY toYYYYMM(start)
ORDER BY (scope, start, action, outcome, actor)
{{.TTL "event_counts_daily"}}SETTINGS {{.Window}}, {{.Expiry}}
COMMENT 'Events counted by day'
;

CREATE MATERIALIZED VIEW IF NOT EXISTS event_counts_daily_view{{.On}} TO event_counts_daily AS
SELECT
    arrayJoin(arrayConcat([''], arrayDistinct(arrayFilter(node -> startsWith(node, 'organization:'), within)))) AS scope,
    toDateTime(toStartOfDay(time), 'UTC') AS start,
    action,
    outcome,
    actor,
    toInt64(count()) AS count
FROM audit_events AS r
GROUP BY scope, start, action, outcome, actor
;

CREATE TABLE IF NOT EXISTS decision_counts_hourly{{.On}} (
    scope LowCardinality(String) COMMENT 'Empty for everything, or the organization that it was in' CODEC(ZSTD(1)),
    start DateTime('UTC') COMMENT 'When the hour began, in UTC' CODEC(Delta(4), ZSTD(1)),
    permission LowCardinality(String) COMMENT 'Which permission was asked about' CODEC(ZSTD(1)),
    answer LowCardinality(String) COMMENT 'allowed, denied or listed' CODEC(ZSTD(1)),
    actor String COMMENT 'Who did it, as type:id' CODEC(ZSTD(1)),
    count Int64 COMMENT 'Decisions, those not recorded included' CODEC(T64, ZSTD(1))
)
ENGINE = {{.Engine "SummingMergeTree" "decision_counts_hourly"}}
PARTITION BY toYYYYMM(start)
ORDER BY (scope, start, permission, answer, actor)
{{.TTL "decision_counts_hourly"}}SETTINGS {{.Window}}, {{.Expiry}}
COMMENT 'Decisions counted by hour'
;

CREATE MATERIALIZED VIEW IF NOT EXISTS decision_counts_hourly_view{{.On}} TO decision_counts_hourly AS
SELECT
    arrayJoin(arrayConcat([''], arrayDistinct(arrayFilter(node -> startsWith(node, 'organization:'), within)))) AS scope,
    toStartOfHour(time) AS start,
    permission,
    answer,
    actor,
    toInt64(sum(r.weight)) AS count
FROM access_decisions AS r
GROUP BY scope, start, permission, answer, actor
;

CREATE TABLE IF NOT EXISTS decision_counts_daily{{.On}} (
    scope LowCardinality(String) COMMENT 'Empty for everything, or the organization that it was in' CODEC(ZSTD(1)),
    start DateTime('UTC') COMMENT 'When the day began, in UTC' CODEC(Delta(4), ZSTD(1)),
    permission LowCardinality(String) COMMENT 'Which permission was asked about' CODEC(ZSTD(1)),
    answer LowCardinality(String) COMMENT 'allowed, denied or listed' CODEC(ZSTD(1)),
    actor String COMMENT 'Who did it, as type:id' CODEC(ZSTD(1)),
    count Int64 COMMENT 'Decisions, those not recorded included' CODEC(T64, ZSTD(1))
)
ENGINE = {{.Engine "SummingMergeTree" "decision_counts_daily"}}
PARTITION BY toYYYYMM(start)
ORDER BY (scope, start, permission, answer, actor)
{{.TTL "decision_counts_daily"}}SETTINGS {{.Window}}, {{.Expiry}}
COMMENT 'Decisions counted by day'
;

CREATE MATERIALIZED VIEW IF NOT EXISTS decision_counts_daily_view{{.On}} TO decision_counts_daily AS
SELECT
    arrayJoin(arrayConcat([''], arrayDistinct(arrayFilter(node -> startsWith(node, 'organization:'), within)))) AS scope,
    toDateTime(toStartOfDay(time), 'UTC') AS start,
    permission,
    answer,
    actor,
    toInt64(sum(r.weight)) AS count
FROM access_decisions AS r
GROUP BY scope, start, permission, answer, actor
;

CREATE TABLE IF NOT EXISTS request_counts_hourly{{.On}} (
    start DateTime('UTC') COMMENT 'When the hour began, in UTC' CODEC(Delta(4), ZSTD(1)),
    route LowCardinality(String) COMMENT 'The template of the route' CODEC(ZSTD(1)),
    status Int64 COMMENT 'The HTTP status' CODEC(T64, ZSTD(1)),
    key String COMMENT 'The id of the API key' CODEC(ZSTD(1)),
    actor String COMMENT 'Who did it, as type:id' CODEC(ZSTD(1)),
    count Int64 COMMENT 'Requests' CODEC(T64, ZSTD(1)),
    errors Int64 COMMENT 'Requests with a status of 400 or more' CODEC(T64, ZSTD(1)),
    bytes_out Int64 COMMENT 'Sizes of the bodies of the answers' CODEC(T64, ZSTD(1)),
    latency Int64 COMMENT 'Sum of the latencies in microseconds' CODEC(T64, ZSTD(1))
)
ENGINE = {{.Engine "SummingMergeTree" "request_counts_hourly"}}
PARTITION BY toYYYYMM(start)
ORDER BY (start, route, status, key, actor)
{{.TTL "request_counts_hourly"}}SETTINGS {{.Window}}, {{.Expiry}}
COMMENT 'Requests counted by hour'
;

CREATE MATERIALIZED VIEW IF NOT EXISTS request_counts_hourly_view{{.On}} TO request_counts_hourly AS
SELECT
    toStartOfHour(time) AS start,
    route,
    status,
    key,
    actor,
    toInt64(count()) AS count,
    toInt64(countIf(status >= 400)) AS errors,
    toInt64(sum(r.bytes_out)) AS bytes_out,
    toInt64(sum(r.latency)) AS latency
FROM api_key_usage AS r
GROUP BY start, route, status, key, actor
;

CREATE TABLE IF NOT EXISTS request_counts_daily{{.On}} (
    start DateTime('UTC') COMMENT 'When the day began, in UTC' CODEC(Delta(4), ZSTD(1)),
    route LowCardinality(String) COMMENT 'The template of the route' CODEC(ZSTD(1)),
    status Int64 COMMENT 'The HTTP status' CODEC(T64, ZSTD(1)),
    key String COMMENT 'The id of the API key' CODEC(ZSTD(1)),
    actor String COMMENT 'Who did it, as type:id' CODEC(ZSTD(1)),
    count Int64 COMMENT 'Requests' CODEC(T64, ZSTD(1)),
    errors Int64 COMMENT 'Requests with a status of 400 or more' CODEC(T64, ZSTD(1)),
    bytes_out Int64 COMMENT 'Sizes of the bodies of the answers' CODEC(T64, ZSTD(1)),
    latency Int64 COMMENT 'Sum of the latencies in microseconds' CODEC(T64, ZSTD(1))
)
ENGINE = {{.Engine "SummingMergeTree" "request_counts_daily"}}
PARTITION BY toYYYYMM(start)
ORDER BY (start, route, status, key, actor)
{{.TTL "request_counts_daily"}}SETTINGS {{.Window}}, {{.Expiry}}
COMMENT 'Requests counted by day'
;

CREATE MATERIALIZED VIEW IF NOT EXISTS request_counts_daily_view{{.On}} TO request_counts_daily AS
SELECT
    toDateTime(toStartOfDay(time), 'UTC') AS start,
    route,
    status,
    key,
    actor,
    toInt64(count()) AS count,
    toInt64(countIf(status >= 400)) AS errors,
    toInt64(sum(r.bytes_out)) AS bytes_out,
    toInt64(sum(r.latency)) AS latency
FROM api_key_usage AS r
GROUP BY start, route, status, key, actor
;

CREATE TABLE IF NOT EXISTS key_last_used{{.On}} (
    key String COMMENT 'The id of the API key' CODEC(ZSTD(1)),
    time SimpleAggregateFunction(max, DateTime64(3, 'UTC')) COMMENT 'When it was last used, in UTC' CODEC(ZSTD(1))
)
ENGINE = {{.Engine "AggregatingMergeTree" "key_last_used"}}
ORDER BY key
{{.TTL "key_last_used"}}SETTINGS index_granularity = 256, {{.Window}}, {{.Expiry}}
COMMENT 'When each API key was last used; select max(time), since rows of one key are put together later'
;

CREATE MATERIALIZED VIEW IF NOT EXISTS key_last_used_view{{.On}} TO key_last_used AS
SELECT key, max(r.time) AS time
FROM api_key_usage AS r
WHERE key != ''
GROUP BY key
;
