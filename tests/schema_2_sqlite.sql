-- Schema 2 as the Gauntlet before v0003 made it on sqlite: what its file held.
-- A golden value: do not change it.
CREATE TABLE alembic_version (
    version_num VARCHAR(32) NOT NULL,
    CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num)
);
CREATE TABLE audit (
    number INTEGER NOT NULL,
    at BIGINT NOT NULL,
    who VARCHAR NOT NULL,
    action VARCHAR NOT NULL,
    subject VARCHAR NOT NULL,
    champion VARCHAR,
    challenger VARCHAR,
    revision_before BIGINT,
    revision_after BIGINT,
    verdict VARCHAR,
    evidence TEXT,
    manual BOOLEAN NOT NULL,
    reason TEXT,
    as_of BIGINT,
    provisional BOOLEAN NOT NULL,
    aliases VARCHAR NOT NULL,
    note TEXT,
    PRIMARY KEY (number)
);
CREATE TABLE closings (
    experiment VARCHAR NOT NULL,
    closed_through BIGINT NOT NULL,
    closed_at BIGINT NOT NULL,
    PRIMARY KEY (experiment)
);
CREATE TABLE cohorts (
    experiment VARCHAR NOT NULL,
    start BIGINT NOT NULL,
    revision BIGINT NOT NULL,
    mode VARCHAR NOT NULL,
    split DOUBLE NOT NULL,
    "end" BIGINT NOT NULL,
    policy VARCHAR NOT NULL,
    closed_at BIGINT NOT NULL,
    n BIGINT NOT NULL,
    ties BIGINT NOT NULL,
    ties_right BIGINT NOT NULL,
    wins_positive BIGINT NOT NULL,
    wins_negative BIGINT NOT NULL,
    losses_positive BIGINT NOT NULL,
    losses_negative BIGINT NOT NULL,
    missing_agreements BIGINT NOT NULL,
    missing_challenger_positive BIGINT NOT NULL,
    missing_champion_positive BIGINT NOT NULL,
    unscored BIGINT NOT NULL,
    answered_champion BIGINT NOT NULL,
    answered_challenger BIGINT NOT NULL,
    rows_digest VARCHAR NOT NULL,
    PRIMARY KEY (experiment, start, revision, mode, split)
);
CREATE TABLE dead_letters (
    worker VARCHAR NOT NULL,
    spool_id VARCHAR NOT NULL,
    segment BIGINT NOT NULL,
    "offset" BIGINT NOT NULL,
    line BLOB NOT NULL,
    landed_at BIGINT NOT NULL,
    PRIMARY KEY (worker, spool_id, segment, "offset")
);
CREATE TABLE outcomes (
    prediction_id VARCHAR NOT NULL,
    observed_at BIGINT NOT NULL,
    received_at BIGINT NOT NULL,
    positive BOOLEAN NOT NULL,
    landed_at BIGINT NOT NULL,
    PRIMARY KEY (prediction_id, observed_at, received_at, positive)
);
CREATE TABLE predictions (
    prediction_id VARCHAR NOT NULL,
    at BIGINT NOT NULL,
    customer_id VARCHAR,
    purpose VARCHAR NOT NULL,
    experiment VARCHAR NOT NULL,
    revision BIGINT NOT NULL,
    mode VARCHAR NOT NULL,
    split DOUBLE NOT NULL,
    variant VARCHAR NOT NULL,
    champion VARCHAR NOT NULL,
    challenger VARCHAR,
    champion_probability DOUBLE,
    challenger_probability DOUBLE,
    champion_positive BOOLEAN,
    challenger_positive BOOLEAN,
    features TEXT NOT NULL,
    landed_at BIGINT NOT NULL, enrolment VARCHAR DEFAULT 'enrolled' NOT NULL, no_treatment BOOLEAN DEFAULT 0 NOT NULL, latency_us BIGINT, request_id VARCHAR, trace_id VARCHAR, client VARCHAR,
    PRIMARY KEY (prediction_id)
);
CREATE TABLE schema_version (
    version INTEGER NOT NULL,
    PRIMARY KEY (version)
);
CREATE TABLE spools (
    worker VARCHAR NOT NULL,
    spool_id VARCHAR NOT NULL,
    segment BIGINT NOT NULL,
    "offset" BIGINT NOT NULL,
    watermark BIGINT NOT NULL,
    lost_at BIGINT, mark BIGINT,
    PRIMARY KEY (worker)
);
CREATE TABLE tombstones (
    customer VARCHAR NOT NULL,
    "key" VARCHAR NOT NULL,
    forgotten_at BIGINT NOT NULL,
    PRIMARY KEY (customer)
);
CREATE TABLE treatments (
    prediction_id VARCHAR NOT NULL,
    action VARCHAR NOT NULL,
    taken_at BIGINT NOT NULL,
    received_at BIGINT NOT NULL,
    landed_at BIGINT NOT NULL,
    PRIMARY KEY (prediction_id, action, taken_at)
);
CREATE TABLE upkeep (
    number INTEGER NOT NULL,
    at BIGINT NOT NULL,
    who VARCHAR NOT NULL,
    action VARCHAR NOT NULL,
    subject VARCHAR NOT NULL,
    content TEXT NOT NULL,
    PRIMARY KEY (number)
);
CREATE TABLE verdicts (
    number INTEGER NOT NULL,
    experiment VARCHAR NOT NULL,
    at BIGINT NOT NULL,
    verdict VARCHAR NOT NULL,
    content TEXT NOT NULL,
    PRIMARY KEY (number)
);
CREATE INDEX outcomes_by_landing ON outcomes (landed_at, prediction_id);
CREATE INDEX predictions_by_customer ON predictions (customer_id, experiment, at);
CREATE INDEX predictions_by_time ON predictions (experiment, at);
CREATE INDEX predictions_long_under_way ON predictions (experiment, at) WHERE landed_at - at > 3600000000;
CREATE INDEX verdicts_by_experiment ON verdicts (experiment, number);
INSERT INTO schema_version VALUES (1);
INSERT INTO alembic_version VALUES ('0002');
