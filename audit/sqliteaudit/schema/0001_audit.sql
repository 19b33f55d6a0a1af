-- The records of one sink.
--
-- A record's id is its time, in Unix milliseconds, shifted left by 20 bits, and
-- a number that tells apart those of one millisecond. So a table is in the order
-- of time, and so is every index, whose entries end with the id: what a question
-- finds by an index is sorted already, and what is too old is at one end.
--
-- Texts that occur again and again are kept once, in text, and elsewhere by
-- number, 0 being the empty one. A list is such a text, too, in JSON; member says
-- what is in it. Texts of their own (changes, reasons, message ids) stay in the
-- record. A request id is 16 bytes if it is a UUID in the usual form.
--
-- For people there are views with the names and columns that ClickHouse has.

CREATE TABLE text (
    id   INTEGER PRIMARY KEY AUTOINCREMENT, -- never used again
    text TEXT    NOT NULL UNIQUE,
    seen INTEGER NOT NULL                   -- when it was last used, give or take a month, Unix milliseconds
) STRICT;
INSERT INTO text (id, text, seen) VALUES (0, '', 0);

CREATE TABLE member (
    node INTEGER NOT NULL,
    list INTEGER NOT NULL,
    PRIMARY KEY (node, list)
) STRICT, WITHOUT ROWID;
CREATE INDEX member_list ON member (list);

-- Batches delivered of late.
CREATE TABLE batch (
    n      INTEGER PRIMARY KEY AUTOINCREMENT,
    id     TEXT    NOT NULL UNIQUE,
    writer INTEGER NOT NULL,
    time   INTEGER NOT NULL
) STRICT;
CREATE INDEX batch_writer ON batch (writer);

-- How often what happened in an hour, in a packed form (see rollup.go). An id
-- is made of the stream, the hour and the number of the part.
CREATE TABLE hourly (
    id   INTEGER PRIMARY KEY,
    body BLOB    NOT NULL
) STRICT;

-- When each key was last used.
CREATE TABLE used (
    key  INTEGER PRIMARY KEY,
    time INTEGER NOT NULL
) STRICT;

CREATE TABLE events (
    id INTEGER PRIMARY KEY,
    writer INTEGER NOT NULL,
    seq INTEGER NOT NULL,
    hash BLOB NOT NULL,
    actor INTEGER NOT NULL,
    "key" INTEGER NOT NULL,
    "action" INTEGER NOT NULL,
    outcome INTEGER NOT NULL,
    node INTEGER NOT NULL,
    other INTEGER NOT NULL,
    within INTEGER NOT NULL,
    "before" TEXT NOT NULL,
    "after" TEXT NOT NULL,
    reason TEXT NOT NULL,
    request_id ANY NOT NULL,
    address INTEGER NOT NULL,
    agent INTEGER NOT NULL,
    revision INTEGER NOT NULL
) STRICT;
CREATE INDEX events_writer ON events (writer, seq);
CREATE INDEX events_actor ON events (actor);
CREATE INDEX events_key ON events ("key");
CREATE TABLE events_within (
    node INTEGER NOT NULL,
    id   INTEGER NOT NULL,
    PRIMARY KEY (node, id)
) STRICT, WITHOUT ROWID;
CREATE TABLE events_within_actor (
    node  INTEGER NOT NULL,
    actor INTEGER NOT NULL,
    id    INTEGER NOT NULL,
    PRIMARY KEY (node, actor, id)
) STRICT, WITHOUT ROWID;
CREATE TABLE events_about (
    node INTEGER NOT NULL,
    id   INTEGER NOT NULL,
    PRIMARY KEY (node, id)
) STRICT, WITHOUT ROWID;
CREATE TRIGGER events_out AFTER DELETE ON events BEGIN
    DELETE FROM events_within WHERE id = OLD.id AND node IN (SELECT node FROM member WHERE list = OLD.within);
    DELETE FROM events_within_actor WHERE id = OLD.id AND actor = OLD.actor AND node IN (SELECT node FROM member WHERE list = OLD.within);
    DELETE FROM events_about WHERE id = OLD.id AND node IN (OLD.node, OLD.other);
END;
CREATE VIEW audit_events AS SELECT
    r.id >> 20 AS time,
    writer.text AS writer,
    r.seq,
    lower(hex(r.hash)) AS hash,
    t_actor.text AS actor,
    t_key.text AS "key",
    t_action.text AS "action",
    t_outcome.text AS outcome,
    t_node.text AS node,
    t_other.text AS other,
    iif(r.within = 0, '[]', t_within.text) AS within,
    r."before",
    r."after",
    r.reason,
    iif(typeof(r.request_id) = 'text', r.request_id,
        lower(format('%s-%s-%s-%s-%s', hex(substr(r.request_id, 1, 4)), hex(substr(r.request_id, 5, 2)), hex(substr(r.request_id, 7, 2)), hex(substr(r.request_id, 9, 2)), hex(substr(r.request_id, 11))))) AS request_id,
    t_address.text AS address,
    t_agent.text AS agent,
    r.revision
FROM events AS r
JOIN text AS writer ON writer.id = r.writer
LEFT JOIN text AS t_actor ON t_actor.id = r.actor
LEFT JOIN text AS t_key ON t_key.id = r."key"
LEFT JOIN text AS t_action ON t_action.id = r."action"
LEFT JOIN text AS t_outcome ON t_outcome.id = r.outcome
LEFT JOIN text AS t_node ON t_node.id = r.node
LEFT JOIN text AS t_other ON t_other.id = r.other
LEFT JOIN text AS t_within ON t_within.id = r.within
LEFT JOIN text AS t_address ON t_address.id = r.address
LEFT JOIN text AS t_agent ON t_agent.id = r.agent;

CREATE TABLE decisions (
    id INTEGER PRIMARY KEY,
    writer INTEGER NOT NULL,
    seq INTEGER NOT NULL,
    hash BLOB NOT NULL,
    actor INTEGER NOT NULL,
    "key" INTEGER NOT NULL,
    question INTEGER NOT NULL,
    subject INTEGER NOT NULL,
    permission INTEGER NOT NULL,
    resource INTEGER NOT NULL,
    within INTEGER NOT NULL,
    answer INTEGER NOT NULL,
    path TEXT NOT NULL,
    latency INTEGER NOT NULL,
    weight INTEGER NOT NULL,
    request_id ANY NOT NULL,
    address INTEGER NOT NULL,
    revision INTEGER NOT NULL
) STRICT;
CREATE INDEX decisions_writer ON decisions (writer, seq);
CREATE INDEX decisions_actor ON decisions (actor);
CREATE INDEX decisions_key ON decisions ("key");
CREATE TABLE decisions_within (
    node INTEGER NOT NULL,
    id   INTEGER NOT NULL,
    PRIMARY KEY (node, id)
) STRICT, WITHOUT ROWID;
CREATE TABLE decisions_within_actor (
    node  INTEGER NOT NULL,
    actor INTEGER NOT NULL,
    id    INTEGER NOT NULL,
    PRIMARY KEY (node, actor, id)
) STRICT, WITHOUT ROWID;
CREATE TABLE decisions_about (
    node INTEGER NOT NULL,
    id   INTEGER NOT NULL,
    PRIMARY KEY (node, id)
) STRICT, WITHOUT ROWID;
CREATE TRIGGER decisions_out AFTER DELETE ON decisions BEGIN
    DELETE FROM decisions_within WHERE id = OLD.id AND node IN (SELECT node FROM member WHERE list = OLD.within);
    DELETE FROM decisions_within_actor WHERE id = OLD.id AND actor = OLD.actor AND node IN (SELECT node FROM member WHERE list = OLD.within);
    DELETE FROM decisions_about WHERE id = OLD.id AND node IN (OLD.subject, OLD.resource);
END;
CREATE VIEW access_decisions AS SELECT
    r.id >> 20 AS time,
    writer.text AS writer,
    r.seq,
    lower(hex(r.hash)) AS hash,
    t_actor.text AS actor,
    t_key.text AS "key",
    t_question.text AS question,
    t_subject.text AS subject,
    t_permission.text AS permission,
    t_resource.text AS resource,
    iif(r.within = 0, '[]', t_within.text) AS within,
    t_answer.text AS answer,
    r.path,
    r.latency,
    r.weight,
    iif(typeof(r.request_id) = 'text', r.request_id,
        lower(format('%s-%s-%s-%s-%s', hex(substr(r.request_id, 1, 4)), hex(substr(r.request_id, 5, 2)), hex(substr(r.request_id, 7, 2)), hex(substr(r.request_id, 9, 2)), hex(substr(r.request_id, 11))))) AS request_id,
    t_address.text AS address,
    r.revision
FROM decisions AS r
JOIN text AS writer ON writer.id = r.writer
LEFT JOIN text AS t_actor ON t_actor.id = r.actor
LEFT JOIN text AS t_key ON t_key.id = r."key"
LEFT JOIN text AS t_question ON t_question.id = r.question
LEFT JOIN text AS t_subject ON t_subject.id = r.subject
LEFT JOIN text AS t_permission ON t_permission.id = r.permission
LEFT JOIN text AS t_resource ON t_resource.id = r.resource
LEFT JOIN text AS t_within ON t_within.id = r.within
LEFT JOIN text AS t_answer ON t_answer.id = r.answer
LEFT JOIN text AS t_address ON t_address.id = r.address;

CREATE TABLE requests (
    id INTEGER PRIMARY KEY,
    writer INTEGER NOT NULL,
    seq INTEGER NOT NULL,
    hash BLOB NOT NULL,
    actor INTEGER NOT NULL,
    "key" INTEGER NOT NULL,
    method INTEGER NOT NULL,
    route INTEGER NOT NULL,
    status INTEGER NOT NULL,
    latency INTEGER NOT NULL,
    bytes_in INTEGER NOT NULL,
    bytes_out INTEGER NOT NULL,
    request_id ANY NOT NULL,
    address INTEGER NOT NULL,
    agent INTEGER NOT NULL
) STRICT;
CREATE INDEX requests_writer ON requests (writer, seq);
CREATE INDEX requests_actor ON requests (actor);
CREATE INDEX requests_key ON requests ("key");
CREATE VIEW api_key_usage AS SELECT
    r.id >> 20 AS time,
    writer.text AS writer,
    r.seq,
    lower(hex(r.hash)) AS hash,
    t_actor.text AS actor,
    t_key.text AS "key",
    t_method.text AS method,
    t_route.text AS route,
    r.status,
    r.latency,
    r.bytes_in,
    r.bytes_out,
    iif(typeof(r.request_id) = 'text', r.request_id,
        lower(format('%s-%s-%s-%s-%s', hex(substr(r.request_id, 1, 4)), hex(substr(r.request_id, 5, 2)), hex(substr(r.request_id, 7, 2)), hex(substr(r.request_id, 9, 2)), hex(substr(r.request_id, 11))))) AS request_id,
    t_address.text AS address,
    t_agent.text AS agent
FROM requests AS r
JOIN text AS writer ON writer.id = r.writer
LEFT JOIN text AS t_actor ON t_actor.id = r.actor
LEFT JOIN text AS t_key ON t_key.id = r."key"
LEFT JOIN text AS t_method ON t_method.id = r.method
LEFT JOIN text AS t_route ON t_route.id = r.route
LEFT JOIN text AS t_address ON t_address.id = r.address
LEFT JOIN text AS t_agent ON t_agent.id = r.agent;

CREATE TABLE mails (
    id INTEGER PRIMARY KEY,
    writer INTEGER NOT NULL,
    seq INTEGER NOT NULL,
    hash BLOB NOT NULL,
    recipient INTEGER NOT NULL,
    domain INTEGER NOT NULL,
    template INTEGER NOT NULL,
    subject INTEGER NOT NULL,
    message_id TEXT NOT NULL,
    status INTEGER NOT NULL,
    error TEXT NOT NULL,
    actor INTEGER NOT NULL,
    node INTEGER NOT NULL,
    request_id ANY NOT NULL
) STRICT;
CREATE INDEX mails_writer ON mails (writer, seq);
CREATE INDEX mails_recipient ON mails (recipient);
CREATE INDEX mails_node ON mails (node);
CREATE VIEW email_audit AS SELECT
    r.id >> 20 AS time,
    writer.text AS writer,
    r.seq,
    lower(hex(r.hash)) AS hash,
    t_recipient.text AS recipient,
    t_domain.text AS domain,
    t_template.text AS template,
    t_subject.text AS subject,
    r.message_id,
    t_status.text AS status,
    r.error,
    t_actor.text AS actor,
    t_node.text AS node,
    iif(typeof(r.request_id) = 'text', r.request_id,
        lower(format('%s-%s-%s-%s-%s', hex(substr(r.request_id, 1, 4)), hex(substr(r.request_id, 5, 2)), hex(substr(r.request_id, 7, 2)), hex(substr(r.request_id, 9, 2)), hex(substr(r.request_id, 11))))) AS request_id
FROM mails AS r
JOIN text AS writer ON writer.id = r.writer
LEFT JOIN text AS t_recipient ON t_recipient.id = r.recipient
LEFT JOIN text AS t_domain ON t_domain.id = r.domain
LEFT JOIN text AS t_template ON t_template.id = r.template
LEFT JOIN text AS t_subject ON t_subject.id = r.subject
LEFT JOIN text AS t_status ON t_status.id = r.status
LEFT JOIN text AS t_actor ON t_actor.id = r.actor
LEFT JOIN text AS t_node ON t_node.id = r.node;

CREATE TABLE factors (
    id INTEGER PRIMARY KEY,
    writer INTEGER NOT NULL,
    seq INTEGER NOT NULL,
    hash BLOB NOT NULL,
    subject INTEGER NOT NULL,
    kind INTEGER NOT NULL,
    outcome INTEGER NOT NULL,
    request_id ANY NOT NULL,
    address INTEGER NOT NULL,
    agent INTEGER NOT NULL
) STRICT;
CREATE INDEX factors_writer ON factors (writer, seq);
CREATE INDEX factors_subject ON factors (subject);
CREATE VIEW mfa_events AS SELECT
    r.id >> 20 AS time,
    writer.text AS writer,
    r.seq,
    lower(hex(r.hash)) AS hash,
    t_subject.text AS subject,
    t_kind.text AS kind,
    t_outcome.text AS outcome,
    iif(typeof(r.request_id) = 'text', r.request_id,
        lower(format('%s-%s-%s-%s-%s', hex(substr(r.request_id, 1, 4)), hex(substr(r.request_id, 5, 2)), hex(substr(r.request_id, 7, 2)), hex(substr(r.request_id, 9, 2)), hex(substr(r.request_id, 11))))) AS request_id,
    t_address.text AS address,
    t_agent.text AS agent
FROM factors AS r
JOIN text AS writer ON writer.id = r.writer
LEFT JOIN text AS t_subject ON t_subject.id = r.subject
LEFT JOIN text AS t_kind ON t_kind.id = r.kind
LEFT JOIN text AS t_outcome ON t_outcome.id = r.outcome
LEFT JOIN text AS t_address ON t_address.id = r.address
LEFT JOIN text AS t_agent ON t_agent.id = r.agent;

CREATE TABLE limits (
    id INTEGER PRIMARY KEY,
    writer INTEGER NOT NULL,
    seq INTEGER NOT NULL,
    hash BLOB NOT NULL,
    identifier INTEGER NOT NULL,
    rule INTEGER NOT NULL,
    route INTEGER NOT NULL,
    requests INTEGER NOT NULL,
    blocked INTEGER NOT NULL,
    "window" INTEGER NOT NULL,
    address INTEGER NOT NULL
) STRICT;
CREATE INDEX limits_writer ON limits (writer, seq);
CREATE INDEX limits_identifier ON limits (identifier);
CREATE VIEW rate_limit_events AS SELECT
    r.id >> 20 AS time,
    writer.text AS writer,
    r.seq,
    lower(hex(r.hash)) AS hash,
    t_identifier.text AS identifier,
    t_rule.text AS rule,
    t_route.text AS route,
    r.requests,
    r.blocked,
    r."window",
    t_address.text AS address
FROM limits AS r
JOIN text AS writer ON writer.id = r.writer
LEFT JOIN text AS t_identifier ON t_identifier.id = r.identifier
LEFT JOIN text AS t_rule ON t_rule.id = r.rule
LEFT JOIN text AS t_route ON t_route.id = r.route
LEFT JOIN text AS t_address ON t_address.id = r.address;
