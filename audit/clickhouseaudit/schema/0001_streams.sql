-- One table for each stream of audit records. The columns after hash are the fields of the record.
--
-- Compact parts and small granules: a page of fifty records scattered over two years then
-- reads fifty small pieces of one file in each part, not of twenty files of large blocks.

CREATE TABLE IF NOT EXISTS audit_events{{.On}} (
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
ENGINE = {{.Engine "MergeTree" "audit_events"}}
PARTITION BY toYYYYMM(time)
ORDER BY (time, writer, seq)
{{.TTL "audit_events"}}SETTINGS index_granularity = 512, min_bytes_for_wide_part = 1073741824, {{.Window}}, {{.Expiry}}
COMMENT 'Who did what to which node, and what was refused'
;

CREATE TABLE IF NOT EXISTS access_decisions{{.On}} (
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
ENGINE = {{.Engine "MergeTree" "access_decisions"}}
PARTITION BY toYYYYMM(time)
ORDER BY (time, writer, seq)
{{.TTL "access_decisions"}}SETTINGS index_granularity = 1024, min_bytes_for_wide_part = 1073741824, {{.Window}}, {{.Expiry}}
COMMENT 'Permission questions that were asked, and the answers'
;

CREATE TABLE IF NOT EXISTS api_key_usage{{.On}} (
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
ENGINE = {{.Engine "MergeTree" "api_key_usage"}}
PARTITION BY toYYYYMM(time)
ORDER BY (time, writer, seq)
{{.TTL "api_key_usage"}}SETTINGS index_granularity = 1024, min_bytes_for_wide_part = 1073741824, {{.Window}}, {{.Expiry}}
COMMENT 'Every request to the API, with or without a key'
;

CREATE TABLE IF NOT EXISTS email_audit{{.On}} (
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
ENGINE = {{.Engine "MergeTree" "email_audit"}}
PARTITION BY toYYYYMM(time)
ORDER BY (time, writer, seq)
{{.TTL "email_audit"}}SETTINGS index_granularity = 1024, min_bytes_for_wide_part = 1073741824, {{.Window}}, {{.Expiry}}
COMMENT 'What became of a mail; the address itself is not kept'
;

CREATE TABLE IF NOT EXISTS mfa_events{{.On}} (
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
ENGINE = {{.Engine "MergeTree" "mfa_events"}}
PARTITION BY toYYYYMM(time)
ORDER BY (time, writer, seq)
{{.TTL "mfa_events"}}SETTINGS index_granularity = 1024, min_bytes_for_wide_part = 1073741824, {{.Window}}, {{.Expiry}}
COMMENT 'Second factors set up, used and refused'
;

CREATE TABLE IF NOT EXISTS rate_limit_events{{.On}} (
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
ENGINE = {{.Engine "MergeTree" "rate_limit_events"}}
PARTITION BY toYYYYMM(time)
ORDER BY (time, writer, seq)
{{.TTL "rate_limit_events"}}SETTINGS index_granularity = 1024, min_bytes_for_wide_part = 1073741824, {{.Window}}, {{.Expiry}}
COMMENT 'Rate limits that were reached, one record a window of time'
;
