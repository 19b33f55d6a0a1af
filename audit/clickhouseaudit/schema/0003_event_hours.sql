-- In which hours there are events of an actor, of a key, about a node, or within one. It leads
-- questions to the few granules they need: about one twentieth of the size of the events, and not
-- divided by month, so that one look finds all.

CREATE TABLE IF NOT EXISTS event_hours{{.On}} (
    term String COMMENT 'actor=, key=, node=, other= or within=, and the value; within= without the node itself' CODEC(ZSTD(1)),
    hour DateTime('UTC') COMMENT 'When the hour began, in UTC' CODEC(Delta(4), ZSTD(1))
)
ENGINE = {{.Engine "ReplacingMergeTree" "event_hours"}}
ORDER BY (term, hour)
{{.TTL "event_hours"}}SETTINGS index_granularity = 1024, {{.Window}}, {{.Expiry}}
COMMENT 'In which hours there are events of an actor, of a key, about a node or within one'
;

CREATE MATERIALIZED VIEW IF NOT EXISTS event_hours_view{{.On}} TO event_hours AS
SELECT
    arrayJoin(arrayConcat(
        arrayFilter(pair -> NOT endsWith(pair, '='), [concat('actor=', actor), concat('key=', key), concat('node=', node), concat('other=', other)]),
        arrayMap(above -> concat('within=', above), arrayFilter(above -> above != node AND above != '', within)))) AS term,
    toStartOfHour(time) AS hour
FROM audit_events AS r
GROUP BY term, hour
;
