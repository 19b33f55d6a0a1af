-- The events once more, by who did them and what they are about: to read a page of one actor
-- or about one node is then to read one place, not fifty scattered over two years. Divided by year, since
-- each division is one more place. Replacing: what is under one term with one time, writer and seq is one event,
-- so that events from before this table can be filled in however often that is begun.

CREATE TABLE IF NOT EXISTS event_parties{{.On}} (
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
ENGINE = {{.Engine "ReplacingMergeTree" "event_parties"}}
PARTITION BY toYear(time)
ORDER BY (term, time, writer, seq)
{{.TTL "event_parties"}}SETTINGS index_granularity = 512, min_bytes_for_wide_part = 1073741824, {{.Window}}, {{.Expiry}}, {{.Compact}}
COMMENT 'Events by who did them and what they are about; audit_events is what counts'
;

CREATE MATERIALIZED VIEW IF NOT EXISTS event_parties_view{{.On}} TO event_parties AS
SELECT arrayJoin(arrayDistinct(arrayFilter(pair -> NOT endsWith(pair, '='), [concat('actor=', actor), concat('about=', node), concat('about=', other)]))) AS term, time, writer, seq, hash, actor, key, action, outcome, node, other, within, before, after, reason, request_id, address, agent, revision
FROM audit_events AS r
;

-- What was there before the view. After it, so that nothing falls between.
INSERT INTO event_parties (term, time, writer, seq, hash, actor, key, action, outcome, node, other, within, before, after, reason, request_id, address, agent, revision)
SELECT arrayJoin(arrayDistinct(arrayFilter(pair -> NOT endsWith(pair, '='), [concat('actor=', actor), concat('about=', node), concat('about=', other)]))) AS term, time, writer, seq, hash, actor, key, action, outcome, node, other, within, before, after, reason, request_id, address, agent, revision
FROM audit_events AS r
;

-- A question costs by the part: of months that are over there is to be one.
ALTER TABLE audit_events{{.On}} MODIFY SETTING {{.Compact}}
;
ALTER TABLE access_decisions{{.On}} MODIFY SETTING {{.Compact}}
;
ALTER TABLE api_key_usage{{.On}} MODIFY SETTING {{.Compact}}
;
