-- 0001_streams
CREATE TABLE IF NOT EXISTS audit_events ON CLUSTER 'main' (
    time DateTime64(3, 'UTC') COMMENT 'When it happened, in UTC' CODEC(Delta(8), ZSTD(1)),
    writer LowCardinality(String) COMMENT 'Who wrote the record: one spool, or the changes of one graph' CODEC(ZSTD(1)),
    seq UInt64 COMMENT 'Counts the records of the writer in this table: 1, 2, 3 …' CODEC(Delta(8), ZSTD(1)),
    hash FixedString(16) COMMENT 'HMAC-SHA256 over the record and the hash of the one before, cut to 128 bits' CODEC(NONE),
    actor String COMMENT 'Who did it, as type:id; empty if not known' CODEC(ZSTD(1)),
    key String COMMENT 'The id of the API key that was used' CODEC(ZSTD(1)),
    action LowCardinality(String) COMMENT 'What was done, as type:verb; of what was refused, the permission that was lacking' CODEC(ZSTD(1)),
    outcome LowCardinality(String) COMMENT 'success, denied or failure' CODEC(ZSTD(1)),
    node String COMMENT 'What it was done to, as type:id' CODEC(ZSTD(1)),
    other String COMMENT 'The other end of an edge: the subject of a grant, the member of a set, the new parent' CODEC(ZSTD(1)),
    within Array(String) COMMENT 'The node and those above it at the time, without the root' CODEC(ZSTD(1)),
    before String COMMENT 'JSON object of what changed, as it was' CODEC(ZSTD(1)),
    after String COMMENT 'JSON object of what changed, as it became' CODEC(ZSTD(1)),
    reason String COMMENT 'Why it was refused or failed' CODEC(ZSTD(1)),
    request_id String COMMENT 'The request that it was part of' CODEC(ZSTD(1)),
    address String COMMENT 'Where the request came from' CODEC(ZSTD(1)),
    agent LowCardinality(String) COMMENT 'What the client calls itself (User-Agent)' CODEC(ZSTD(1)),
    revision Int64 COMMENT 'The revision of the graph that the change made, 0 if it made none' CODEC(Delta(8), ZSTD(1)),
    INDEX actor actor TYPE bloom_filter(0.01) GRANULARITY 1,
    INDEX key key TYPE bloom_filter(0.01) GRANULARITY 1,
    INDEX about [node, other] TYPE bloom_filter(0.01) GRANULARITY 1,
    INDEX within within TYPE bloom_filter(0.01) GRANULARITY 1,
    INDEX request_id request_id TYPE bloom_filter(0.01) GRANULARITY 1,
    INDEX seq seq TYPE minmax GRANULARITY 1
)
ENGINE = ReplicatedMergeTree('/clickhouse/tables/{shard}/{database}/audit_events', '{replica}')
PARTITION BY toYYYYMM(time)
ORDER BY (time, writer, seq)
TTL toDateTime(time) + toIntervalDay(730)
SETTINGS index_granularity = 512, min_bytes_for_wide_part = 1073741824, replicated_deduplication_window = 100000, replicated_deduplication_window_seconds = 604800, ttl_only_drop_parts = 0, merge_with_ttl_timeout = 86400, materialize_ttl_recalculate_only = 1
COMMENT 'Who did what to which node, and what was refused'
;
CREATE TABLE IF NOT EXISTS access_decisions ON CLUSTER 'main' (
    time DateTime64(3, 'UTC') COMMENT 'When it happened, in UTC' CODEC(Delta(8), ZSTD(1)),
    writer LowCardinality(String) COMMENT 'Who wrote the record: one spool, or the changes of one graph' CODEC(ZSTD(1)),
    seq UInt64 COMMENT 'Counts the records of the writer in this table: 1, 2, 3 …' CODEC(Delta(8), ZSTD(1)),
    hash FixedString(16) COMMENT 'HMAC-SHA256 over the record and the hash of the one before, cut to 128 bits' CODEC(NONE),
    actor String COMMENT 'Who asked, as type:id' CODEC(ZSTD(1)),
    key String COMMENT 'The id of the API key that was used' CODEC(ZSTD(1)),
    question LowCardinality(String) COMMENT 'check, explain, resources, subjects or permissions' CODEC(ZSTD(1)),
    subject String COMMENT 'Who was asked about, as type:id' CODEC(ZSTD(1)),
    permission LowCardinality(String) COMMENT 'Which permission was asked about' CODEC(ZSTD(1)),
    resource String COMMENT 'Which node was asked about, as type:id' CODEC(ZSTD(1)),
    within Array(String) COMMENT 'The resource and the nodes above it, without the root' CODEC(ZSTD(1)),
    answer LowCardinality(String) COMMENT 'allowed, denied or listed' CODEC(ZSTD(1)),
    path String COMMENT 'What gave the permission, in words; empty if it was not looked for' CODEC(ZSTD(1)),
    latency Int64 COMMENT 'How long the answer took, in microseconds' CODEC(T64, ZSTD(1)),
    weight Int64 COMMENT 'How many such decisions this one stands for, where only some are recorded' CODEC(T64, ZSTD(1)),
    request_id String COMMENT 'The request that it was part of' CODEC(ZSTD(1)),
    address String COMMENT 'Where the request came from' CODEC(ZSTD(1)),
    revision Int64 COMMENT 'The revision of the graph that the answer holds at' CODEC(Delta(8), ZSTD(1)),
    INDEX actor actor TYPE bloom_filter(0.01) GRANULARITY 1,
    INDEX key key TYPE bloom_filter(0.01) GRANULARITY 1,
    INDEX about [subject, resource] TYPE bloom_filter(0.01) GRANULARITY 1,
    INDEX within within TYPE bloom_filter(0.01) GRANULARITY 1,
    INDEX request_id request_id TYPE bloom_filter(0.01) GRANULARITY 1,
    INDEX seq seq TYPE minmax GRANULARITY 1
)
ENGINE = ReplicatedMergeTree('/clickhouse/tables/{shard}/{database}/access_decisions', '{replica}')
PARTITION BY toYYYYMM(time)
ORDER BY (time, writer, seq)
TTL toDateTime(time) + toIntervalDay(90)
SETTINGS index_granularity = 1024, min_bytes_for_wide_part = 1073741824, replicated_deduplication_window = 100000, replicated_deduplication_window_seconds = 604800, ttl_only_drop_parts = 0, merge_with_ttl_timeout = 86400, materialize_ttl_recalculate_only = 1
COMMENT 'Permission questions that were asked, and the answers'
;
CREATE TABLE IF NOT EXISTS api_key_usage ON CLUSTER 'main' (
    time DateTime64(3, 'UTC') COMMENT 'When it happened, in UTC' CODEC(Delta(8), ZSTD(1)),
    writer LowCardinality(String) COMMENT 'Who wrote the record: one spool, or the changes of one graph' CODEC(ZSTD(1)),
    seq UInt64 COMMENT 'Counts the records of the writer in this table: 1, 2, 3 …' CODEC(Delta(8), ZSTD(1)),
    hash FixedString(16) COMMENT 'HMAC-SHA256 over the record and the hash of the one before, cut to 128 bits' CODEC(NONE),
    actor String COMMENT 'The principal, as type:id; empty if it is not known' CODEC(ZSTD(1)),
    key String COMMENT 'The id of the API key, if one was used' CODEC(ZSTD(1)),
    method LowCardinality(String) COMMENT 'The HTTP method' CODEC(ZSTD(1)),
    route LowCardinality(String) COMMENT 'The template of the route, not the path' CODEC(ZSTD(1)),
    status Int64 COMMENT 'The HTTP status' CODEC(T64, ZSTD(1)),
    latency Int64 COMMENT 'From reading the head to the end of the answer, in microseconds' CODEC(T64, ZSTD(1)),
    bytes_in Int64 COMMENT 'Size of the body of the request' CODEC(T64, ZSTD(1)),
    bytes_out Int64 COMMENT 'Size of the body of the answer' CODEC(T64, ZSTD(1)),
    request_id String COMMENT 'The request that it was part of' CODEC(ZSTD(1)),
    address String COMMENT 'Where the request came from' CODEC(ZSTD(1)),
    agent LowCardinality(String) COMMENT 'What the client calls itself (User-Agent)' CODEC(ZSTD(1)),
    INDEX actor actor TYPE bloom_filter(0.01) GRANULARITY 1,
    INDEX key key TYPE bloom_filter(0.01) GRANULARITY 1,
    INDEX request_id request_id TYPE bloom_filter(0.01) GRANULARITY 1,
    INDEX seq seq TYPE minmax GRANULARITY 1
)
ENGINE = ReplicatedMergeTree('/clickhouse/tables/{shard}/{database}/api_key_usage', '{replica}')
PARTITION BY toYYYYMM(time)
ORDER BY (time, writer, seq)
TTL toDateTime(time) + toIntervalDay(365)
SETTINGS index_granularity = 1024, min_bytes_for_wide_part = 1073741824, replicated_deduplication_window = 100000, replicated_deduplication_window_seconds = 604800, ttl_only_drop_parts = 0, merge_with_ttl_timeout = 86400, materialize_ttl_recalculate_only = 1
COMMENT 'Every request to the API, with or without a key'
;
CREATE TABLE IF NOT EXISTS email_audit ON CLUSTER 'main' (
    time DateTime64(3, 'UTC') COMMENT 'When it happened, in UTC' CODEC(Delta(8), ZSTD(1)),
    writer LowCardinality(String) COMMENT 'Who wrote the record: one spool, or the changes of one graph' CODEC(ZSTD(1)),
    seq UInt64 COMMENT 'Counts the records of the writer in this table: 1, 2, 3 …' CODEC(Delta(8), ZSTD(1)),
    hash FixedString(16) COMMENT 'HMAC-SHA256 over the record and the hash of the one before, cut to 128 bits' CODEC(NONE),
    recipient String COMMENT 'A keyed hash of the address' CODEC(ZSTD(1)),
    domain LowCardinality(String) COMMENT 'What follows the @ of the address' CODEC(ZSTD(1)),
    template LowCardinality(String) COMMENT 'Which mail it was' CODEC(ZSTD(1)),
    subject String COMMENT 'The subject line' CODEC(ZSTD(1)),
    message_id String COMMENT 'The Message-ID' CODEC(ZSTD(1)),
    status LowCardinality(String) COMMENT 'sent, failed, skipped or dry_run' CODEC(ZSTD(1)),
    error String COMMENT 'Why it failed' CODEC(ZSTD(1)),
    actor String COMMENT 'Who caused it, as type:id' CODEC(ZSTD(1)),
    node String COMMENT 'The user it is about, as type:id' CODEC(ZSTD(1)),
    request_id String COMMENT 'The request that it was part of' CODEC(ZSTD(1)),
    INDEX recipient recipient TYPE bloom_filter(0.01) GRANULARITY 1,
    INDEX actor actor TYPE bloom_filter(0.01) GRANULARITY 1,
    INDEX node node TYPE bloom_filter(0.01) GRANULARITY 1,
    INDEX request_id request_id TYPE bloom_filter(0.01) GRANULARITY 1,
    INDEX seq seq TYPE minmax GRANULARITY 1
)
ENGINE = ReplicatedMergeTree('/clickhouse/tables/{shard}/{database}/email_audit', '{replica}')
PARTITION BY toYYYYMM(time)
ORDER BY (time, writer, seq)
TTL toDateTime(time) + toIntervalDay(365)
SETTINGS index_granularity = 1024, min_bytes_for_wide_part = 1073741824, replicated_deduplication_window = 100000, replicated_deduplication_window_seconds = 604800, ttl_only_drop_parts = 0, merge_with_ttl_timeout = 86400, materialize_ttl_recalculate_only = 1
COMMENT 'What became of a mail; the address itself is not kept'
;
CREATE TABLE IF NOT EXISTS mfa_events ON CLUSTER 'main' (
    time DateTime64(3, 'UTC') COMMENT 'When it happened, in UTC' CODEC(Delta(8), ZSTD(1)),
    writer LowCardinality(String) COMMENT 'Who wrote the record: one spool, or the changes of one graph' CODEC(ZSTD(1)),
    seq UInt64 COMMENT 'Counts the records of the writer in this table: 1, 2, 3 …' CODEC(Delta(8), ZSTD(1)),
    hash FixedString(16) COMMENT 'HMAC-SHA256 over the record and the hash of the one before, cut to 128 bits' CODEC(NONE),
    subject String COMMENT 'Whose factor it is, as type:id' CODEC(ZSTD(1)),
    kind LowCardinality(String) COMMENT 'enabled, disabled, verified, failed or backup_used' CODEC(ZSTD(1)),
    outcome LowCardinality(String) COMMENT 'success, denied or failure' CODEC(ZSTD(1)),
    request_id String COMMENT 'The request that it was part of' CODEC(ZSTD(1)),
    address String COMMENT 'Where the request came from' CODEC(ZSTD(1)),
    agent LowCardinality(String) COMMENT 'What the client calls itself (User-Agent)' CODEC(ZSTD(1)),
    INDEX subject subject TYPE bloom_filter(0.01) GRANULARITY 1,
    INDEX request_id request_id TYPE bloom_filter(0.01) GRANULARITY 1,
    INDEX seq seq TYPE minmax GRANULARITY 1
)
ENGINE = ReplicatedMergeTree('/clickhouse/tables/{shard}/{database}/mfa_events', '{replica}')
PARTITION BY toYYYYMM(time)
ORDER BY (time, writer, seq)
TTL toDateTime(time) + toIntervalDay(365)
SETTINGS index_granularity = 1024, min_bytes_for_wide_part = 1073741824, replicated_deduplication_window = 100000, replicated_deduplication_window_seconds = 604800, ttl_only_drop_parts = 0, merge_with_ttl_timeout = 86400, materialize_ttl_recalculate_only = 1
COMMENT 'Second factors set up, used and refused'
;
CREATE TABLE IF NOT EXISTS rate_limit_events ON CLUSTER 'main' (
    time DateTime64(3, 'UTC') COMMENT 'When it happened, in UTC' CODEC(Delta(8), ZSTD(1)),
    writer LowCardinality(String) COMMENT 'Who wrote the record: one spool, or the changes of one graph' CODEC(ZSTD(1)),
    seq UInt64 COMMENT 'Counts the records of the writer in this table: 1, 2, 3 …' CODEC(Delta(8), ZSTD(1)),
    hash FixedString(16) COMMENT 'HMAC-SHA256 over the record and the hash of the one before, cut to 128 bits' CODEC(NONE),
    identifier String COMMENT 'Who was counted: a principal, a key or an address' CODEC(ZSTD(1)),
    rule LowCardinality(String) COMMENT 'The name of the limit' CODEC(ZSTD(1)),
    route LowCardinality(String) COMMENT 'Where it was reached' CODEC(ZSTD(1)),
    requests Int64 COMMENT 'Requests within the window' CODEC(T64, ZSTD(1)),
    blocked Int64 COMMENT 'How many of them were blocked' CODEC(T64, ZSTD(1)),
    window Int64 COMMENT 'Length of the window in seconds' CODEC(T64, ZSTD(1)),
    address String COMMENT 'Where the request came from' CODEC(ZSTD(1)),
    INDEX identifier identifier TYPE bloom_filter(0.01) GRANULARITY 1,
    INDEX seq seq TYPE minmax GRANULARITY 1
)
ENGINE = ReplicatedMergeTree('/clickhouse/tables/{shard}/{database}/rate_limit_events', '{replica}')
PARTITION BY toYYYYMM(time)
ORDER BY (time, writer, seq)
TTL toDateTime(time) + toIntervalDay(365)
SETTINGS index_granularity = 1024, min_bytes_for_wide_part = 1073741824, replicated_deduplication_window = 100000, replicated_deduplication_window_seconds = 604800, ttl_only_drop_parts = 0, merge_with_ttl_timeout = 86400, materialize_ttl_recalculate_only = 1
COMMENT 'Rate limits that were reached, one record a window of time'
;
-- 0002_rollups
CREATE TABLE IF NOT EXISTS event_counts_hourly ON CLUSTER 'main' (
    scope LowCardinality(String) COMMENT 'Empty for everything, or the organization that it was in' CODEC(ZSTD(1)),
    start DateTime('UTC') COMMENT 'When the hour began, in UTC' CODEC(Delta(4), ZSTD(1)),
    action LowCardinality(String) COMMENT 'What was done, as type:verb' CODEC(ZSTD(1)),
    outcome LowCardinality(String) COMMENT 'success, denied or failure' CODEC(ZSTD(1)),
    actor String COMMENT 'Who did it, as type:id' CODEC(ZSTD(1)),
    count Int64 COMMENT 'Events' CODEC(T64, ZSTD(1))
)
ENGINE = ReplicatedSummingMergeTree('/clickhouse/tables/{shard}/{database}/event_counts_hourly', '{replica}')
PARTITION BY toYYYYMM(start)
ORDER BY (scope, start, action, outcome, actor)
TTL start + toIntervalDay(730)
SETTINGS replicated_deduplication_window = 100000, replicated_deduplication_window_seconds = 604800, ttl_only_drop_parts = 0, merge_with_ttl_timeout = 86400, materialize_ttl_recalculate_only = 1
COMMENT 'Events counted by hour'
;
CREATE MATERIALIZED VIEW IF NOT EXISTS event_counts_hourly_view ON CLUSTER 'main' TO event_counts_hourly AS
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
CREATE TABLE IF NOT EXISTS event_counts_daily ON CLUSTER 'main' (
    scope LowCardinality(String) COMMENT 'Empty for everything, or the organization that it was in' CODEC(ZSTD(1)),
    start DateTime('UTC') COMMENT 'When the day began, in UTC' CODEC(Delta(4), ZSTD(1)),
    action LowCardinality(String) COMMENT 'What was done, as type:verb' CODEC(ZSTD(1)),
    outcome LowCardinality(String) COMMENT 'success, denied or failure' CODEC(ZSTD(1)),
    actor String COMMENT 'Who did it, as type:id' CODEC(ZSTD(1)),
    count Int64 COMMENT 'Events' CODEC(T64, ZSTD(1))
)
ENGINE = ReplicatedSummingMergeTree('/clickhouse/tables/{shard}/{database}/event_counts_daily', '{replica}')
PARTITION BY toYYYYMM(start)
ORDER BY (scope, start, action, outcome, actor)
TTL start + toIntervalDay(730)
SETTINGS replicated_deduplication_window = 100000, replicated_deduplication_window_seconds = 604800, ttl_only_drop_parts = 0, merge_with_ttl_timeout = 86400, materialize_ttl_recalculate_only = 1
COMMENT 'Events counted by day'
;
CREATE MATERIALIZED VIEW IF NOT EXISTS event_counts_daily_view ON CLUSTER 'main' TO event_counts_daily AS
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
CREATE TABLE IF NOT EXISTS decision_counts_hourly ON CLUSTER 'main' (
    scope LowCardinality(String) COMMENT 'Empty for everything, or the organization that it was in' CODEC(ZSTD(1)),
    start DateTime('UTC') COMMENT 'When the hour began, in UTC' CODEC(Delta(4), ZSTD(1)),
    permission LowCardinality(String) COMMENT 'Which permission was asked about' CODEC(ZSTD(1)),
    answer LowCardinality(String) COMMENT 'allowed, denied or listed' CODEC(ZSTD(1)),
    actor String COMMENT 'Who did it, as type:id' CODEC(ZSTD(1)),
    count Int64 COMMENT 'Decisions, those not recorded included' CODEC(T64, ZSTD(1))
)
ENGINE = ReplicatedSummingMergeTree('/clickhouse/tables/{shard}/{database}/decision_counts_hourly', '{replica}')
PARTITION BY toYYYYMM(start)
ORDER BY (scope, start, permission, answer, actor)
TTL start + toIntervalDay(730)
SETTINGS replicated_deduplication_window = 100000, replicated_deduplication_window_seconds = 604800, ttl_only_drop_parts = 0, merge_with_ttl_timeout = 86400, materialize_ttl_recalculate_only = 1
COMMENT 'Decisions counted by hour'
;
CREATE MATERIALIZED VIEW IF NOT EXISTS decision_counts_hourly_view ON CLUSTER 'main' TO decision_counts_hourly AS
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
CREATE TABLE IF NOT EXISTS decision_counts_daily ON CLUSTER 'main' (
    scope LowCardinality(String) COMMENT 'Empty for everything, or the organization that it was in' CODEC(ZSTD(1)),
    start DateTime('UTC') COMMENT 'When the day began, in UTC' CODEC(Delta(4), ZSTD(1)),
    permission LowCardinality(String) COMMENT 'Which permission was asked about' CODEC(ZSTD(1)),
    answer LowCardinality(String) COMMENT 'allowed, denied or listed' CODEC(ZSTD(1)),
    actor String COMMENT 'Who did it, as type:id' CODEC(ZSTD(1)),
    count Int64 COMMENT 'Decisions, those not recorded included' CODEC(T64, ZSTD(1))
)
ENGINE = ReplicatedSummingMergeTree('/clickhouse/tables/{shard}/{database}/decision_counts_daily', '{replica}')
PARTITION BY toYYYYMM(start)
ORDER BY (scope, start, permission, answer, actor)
TTL start + toIntervalDay(730)
SETTINGS replicated_deduplication_window = 100000, replicated_deduplication_window_seconds = 604800, ttl_only_drop_parts = 0, merge_with_ttl_timeout = 86400, materialize_ttl_recalculate_only = 1
COMMENT 'Decisions counted by day'
;
CREATE MATERIALIZED VIEW IF NOT EXISTS decision_counts_daily_view ON CLUSTER 'main' TO decision_counts_daily AS
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
CREATE TABLE IF NOT EXISTS request_counts_hourly ON CLUSTER 'main' (
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
ENGINE = ReplicatedSummingMergeTree('/clickhouse/tables/{shard}/{database}/request_counts_hourly', '{replica}')
PARTITION BY toYYYYMM(start)
ORDER BY (start, route, status, key, actor)
TTL start + toIntervalDay(730)
SETTINGS replicated_deduplication_window = 100000, replicated_deduplication_window_seconds = 604800, ttl_only_drop_parts = 0, merge_with_ttl_timeout = 86400, materialize_ttl_recalculate_only = 1
COMMENT 'Requests counted by hour'
;
CREATE MATERIALIZED VIEW IF NOT EXISTS request_counts_hourly_view ON CLUSTER 'main' TO request_counts_hourly AS
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
CREATE TABLE IF NOT EXISTS request_counts_daily ON CLUSTER 'main' (
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
ENGINE = ReplicatedSummingMergeTree('/clickhouse/tables/{shard}/{database}/request_counts_daily', '{replica}')
PARTITION BY toYYYYMM(start)
ORDER BY (start, route, status, key, actor)
TTL start + toIntervalDay(730)
SETTINGS replicated_deduplication_window = 100000, replicated_deduplication_window_seconds = 604800, ttl_only_drop_parts = 0, merge_with_ttl_timeout = 86400, materialize_ttl_recalculate_only = 1
COMMENT 'Requests counted by day'
;
CREATE MATERIALIZED VIEW IF NOT EXISTS request_counts_daily_view ON CLUSTER 'main' TO request_counts_daily AS
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
CREATE TABLE IF NOT EXISTS key_last_used ON CLUSTER 'main' (
    key String COMMENT 'The id of the API key' CODEC(ZSTD(1)),
    time SimpleAggregateFunction(max, DateTime64(3, 'UTC')) COMMENT 'When it was last used, in UTC' CODEC(ZSTD(1))
)
ENGINE = ReplicatedAggregatingMergeTree('/clickhouse/tables/{shard}/{database}/key_last_used', '{replica}')
ORDER BY key
TTL toDateTime(time) + toIntervalDay(730)
SETTINGS index_granularity = 256, replicated_deduplication_window = 100000, replicated_deduplication_window_seconds = 604800, ttl_only_drop_parts = 0, merge_with_ttl_timeout = 86400, materialize_ttl_recalculate_only = 1
COMMENT 'When each API key was last used; select max(time), since rows of one key are put together later'
;
CREATE MATERIALIZED VIEW IF NOT EXISTS key_last_used_view ON CLUSTER 'main' TO key_last_used AS
SELECT key, max(r.time) AS time
FROM api_key_usage AS r
WHERE key != ''
GROUP BY key
;
-- 0003_event_hours
CREATE TABLE IF NOT EXISTS event_hours ON CLUSTER 'main' (
    term String COMMENT 'actor=, key=, node=, other= or within=, and the value; within= without the node itself' CODEC(ZSTD(1)),
    hour DateTime('UTC') COMMENT 'When the hour began, in UTC' CODEC(Delta(4), ZSTD(1))
)
ENGINE = ReplicatedReplacingMergeTree('/clickhouse/tables/{shard}/{database}/event_hours', '{replica}')
ORDER BY (term, hour)
TTL hour + toIntervalDay(731)
SETTINGS index_granularity = 1024, replicated_deduplication_window = 100000, replicated_deduplication_window_seconds = 604800, ttl_only_drop_parts = 0, merge_with_ttl_timeout = 86400, materialize_ttl_recalculate_only = 1
COMMENT 'In which hours there are events of an actor, of a key, about a node or within one'
;
CREATE MATERIALIZED VIEW IF NOT EXISTS event_hours_view ON CLUSTER 'main' TO event_hours AS
SELECT
    arrayJoin(arrayConcat(
        arrayFilter(pair -> NOT endsWith(pair, '='), [concat('actor=', actor), concat('key=', key), concat('node=', node), concat('other=', other)]),
        arrayMap(above -> concat('within=', above), arrayFilter(above -> above != node AND above != '', within)))) AS term,
    toStartOfHour(time) AS hour
FROM audit_events AS r
GROUP BY term, hour
;
-- 0004_views
CREATE VIEW IF NOT EXISTS changes ON CLUSTER 'main' AS
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
CREATE VIEW IF NOT EXISTS refusals ON CLUSTER 'main' AS
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
CREATE VIEW IF NOT EXISTS decisions ON CLUSTER 'main' AS
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
CREATE VIEW IF NOT EXISTS requests ON CLUSTER 'main' AS
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
CREATE VIEW IF NOT EXISTS key_usage_by_day ON CLUSTER 'main' AS
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
CREATE VIEW IF NOT EXISTS keys_last_used ON CLUSTER 'main' AS
SELECT key, max(k.time) AS last_used
FROM key_last_used AS k
GROUP BY key
COMMENT 'When each API key was last used'
;
-- 0005_event_parties
CREATE TABLE IF NOT EXISTS event_parties ON CLUSTER 'main' (
    term String COMMENT 'actor= or about=, and the value: about= are the node and the other end' CODEC(ZSTD(1)),
    time DateTime64(3, 'UTC') COMMENT 'When it happened, in UTC' CODEC(Delta(8), ZSTD(1)),
    writer LowCardinality(String) COMMENT 'Who wrote the record: one spool, or the changes of one graph' CODEC(ZSTD(1)),
    seq UInt64 COMMENT 'Counts the records of the writer in this table: 1, 2, 3 …' CODEC(Delta(8), ZSTD(1)),
    hash FixedString(16) COMMENT 'HMAC-SHA256 over the record and the hash of the one before, cut to 128 bits' CODEC(NONE),
    actor String COMMENT 'Who did it, as type:id; empty if not known' CODEC(ZSTD(1)),
    key String COMMENT 'The id of the API key that was used' CODEC(ZSTD(1)),
    action LowCardinality(String) COMMENT 'What was done, as type:verb; of what was refused, the permission that was lacking' CODEC(ZSTD(1)),
    outcome LowCardinality(String) COMMENT 'success, denied or failure' CODEC(ZSTD(1)),
    node String COMMENT 'What it was done to, as type:id' CODEC(ZSTD(1)),
    other String COMMENT 'The other end of an edge: the subject of a grant, the member of a set, the new parent' CODEC(ZSTD(1)),
    within Array(String) COMMENT 'The node and those above it at the time, without the root' CODEC(ZSTD(1)),
    before String COMMENT 'JSON object of what changed, as it was' CODEC(ZSTD(1)),
    after String COMMENT 'JSON object of what changed, as it became' CODEC(ZSTD(1)),
    reason String COMMENT 'Why it was refused or failed' CODEC(ZSTD(1)),
    request_id String COMMENT 'The request that it was part of' CODEC(ZSTD(1)),
    address String COMMENT 'Where the request came from' CODEC(ZSTD(1)),
    agent LowCardinality(String) COMMENT 'What the client calls itself (User-Agent)' CODEC(ZSTD(1)),
    revision Int64 COMMENT 'The revision of the graph that the change made, 0 if it made none' CODEC(Delta(8), ZSTD(1))
)
ENGINE = ReplicatedReplacingMergeTree('/clickhouse/tables/{shard}/{database}/event_parties', '{replica}')
PARTITION BY toYear(time)
ORDER BY (term, time, writer, seq)
TTL toDateTime(time) + toIntervalDay(730)
SETTINGS index_granularity = 512, min_bytes_for_wide_part = 1073741824, replicated_deduplication_window = 100000, replicated_deduplication_window_seconds = 604800, ttl_only_drop_parts = 0, merge_with_ttl_timeout = 86400, materialize_ttl_recalculate_only = 1, min_age_to_force_merge_seconds = 86400, min_age_to_force_merge_on_partition_only = 1
COMMENT 'Events by who did them and what they are about; audit_events is what counts'
;
CREATE MATERIALIZED VIEW IF NOT EXISTS event_parties_view ON CLUSTER 'main' TO event_parties AS
SELECT arrayJoin(arrayDistinct(arrayFilter(pair -> NOT endsWith(pair, '='), [concat('actor=', actor), concat('about=', node), concat('about=', other)]))) AS term, time, writer, seq, hash, actor, key, action, outcome, node, other, within, before, after, reason, request_id, address, agent, revision
FROM audit_events AS r
;
INSERT INTO event_parties (term, time, writer, seq, hash, actor, key, action, outcome, node, other, within, before, after, reason, request_id, address, agent, revision)
SELECT arrayJoin(arrayDistinct(arrayFilter(pair -> NOT endsWith(pair, '='), [concat('actor=', actor), concat('about=', node), concat('about=', other)]))) AS term, time, writer, seq, hash, actor, key, action, outcome, node, other, within, before, after, reason, request_id, address, agent, revision
FROM audit_events AS r
;
ALTER TABLE audit_events ON CLUSTER 'main' MODIFY SETTING min_age_to_force_merge_seconds = 86400, min_age_to_force_merge_on_partition_only = 1
;
ALTER TABLE access_decisions ON CLUSTER 'main' MODIFY SETTING min_age_to_force_merge_seconds = 86400, min_age_to_force_merge_on_partition_only = 1
;
ALTER TABLE api_key_usage ON CLUSTER 'main' MODIFY SETTING min_age_to_force_merge_seconds = 86400, min_age_to_force_merge_on_partition_only = 1
;
-- 0006_counts_by_writer
ALTER TABLE event_counts_hourly ON CLUSTER 'main'
    ADD COLUMN IF NOT EXISTS writer LowCardinality(String) COMMENT 'Who wrote the records' CODEC(ZSTD(1)) AFTER start,
    MODIFY ORDER BY (scope, start, action, outcome, actor, writer)
;
ALTER TABLE event_counts_hourly_view ON CLUSTER 'main' MODIFY QUERY
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
ALTER TABLE event_counts_daily ON CLUSTER 'main'
    ADD COLUMN IF NOT EXISTS writer LowCardinality(String) COMMENT 'Who wrote the records' CODEC(ZSTD(1)) AFTER start,
    MODIFY ORDER BY (scope, start, action, outcome, actor, writer)
;
ALTER TABLE event_counts_daily_view ON CLUSTER 'main' MODIFY QUERY
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
ALTER TABLE decision_counts_hourly ON CLUSTER 'main'
    ADD COLUMN IF NOT EXISTS writer LowCardinality(String) COMMENT 'Who wrote the records' CODEC(ZSTD(1)) AFTER start,
    MODIFY ORDER BY (scope, start, permission, answer, actor, writer)
;
ALTER TABLE decision_counts_hourly_view ON CLUSTER 'main' MODIFY QUERY
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
ALTER TABLE decision_counts_daily ON CLUSTER 'main'
    ADD COLUMN IF NOT EXISTS writer LowCardinality(String) COMMENT 'Who wrote the records' CODEC(ZSTD(1)) AFTER start,
    MODIFY ORDER BY (scope, start, permission, answer, actor, writer)
;
ALTER TABLE decision_counts_daily_view ON CLUSTER 'main' MODIFY QUERY
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
ALTER TABLE request_counts_hourly ON CLUSTER 'main'
    ADD COLUMN IF NOT EXISTS writer LowCardinality(String) COMMENT 'Who wrote the records' CODEC(ZSTD(1)) AFTER start,
    MODIFY ORDER BY (start, route, status, key, actor, writer)
;
ALTER TABLE request_counts_hourly_view ON CLUSTER 'main' MODIFY QUERY
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
ALTER TABLE request_counts_daily ON CLUSTER 'main'
    ADD COLUMN IF NOT EXISTS writer LowCardinality(String) COMMENT 'Who wrote the records' CODEC(ZSTD(1)) AFTER start,
    MODIFY ORDER BY (start, route, status, key, actor, writer)
;
ALTER TABLE request_counts_daily_view ON CLUSTER 'main' MODIFY QUERY
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
ALTER TABLE audit_events ON CLUSTER 'main' MODIFY SETTING fsync_after_insert = 1, fsync_part_directory = 1
;
ALTER TABLE access_decisions ON CLUSTER 'main' MODIFY SETTING fsync_after_insert = 1, fsync_part_directory = 1
;
ALTER TABLE api_key_usage ON CLUSTER 'main' MODIFY SETTING fsync_after_insert = 1, fsync_part_directory = 1
;
ALTER TABLE email_audit ON CLUSTER 'main' MODIFY SETTING fsync_after_insert = 1, fsync_part_directory = 1
;
ALTER TABLE mfa_events ON CLUSTER 'main' MODIFY SETTING fsync_after_insert = 1, fsync_part_directory = 1
;
ALTER TABLE rate_limit_events ON CLUSTER 'main' MODIFY SETTING fsync_after_insert = 1, fsync_part_directory = 1
;
