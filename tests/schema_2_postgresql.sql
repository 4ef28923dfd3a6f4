-- Schema 2 as the Gauntlet before v0003 made it on postgresql: what it sent to an empty database.
-- A golden value: do not change it.
CREATE TABLE alembic_version (
    version_num VARCHAR(32) NOT NULL,
    CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num)
);
CREATE TABLE schema_version (
    version INTEGER NOT NULL,
    PRIMARY KEY (version)
);
INSERT INTO schema_version (version) VALUES (1);
CREATE TABLE predictions (
    prediction_id VARCHAR COLLATE "C" NOT NULL,
    at BIGINT NOT NULL,
    customer_id VARCHAR COLLATE "C",
    purpose VARCHAR NOT NULL,
    experiment VARCHAR NOT NULL,
    revision BIGINT NOT NULL,
    mode VARCHAR NOT NULL,
    split DOUBLE PRECISION NOT NULL,
    variant VARCHAR NOT NULL,
    champion VARCHAR NOT NULL,
    challenger VARCHAR,
    champion_probability DOUBLE PRECISION,
    challenger_probability DOUBLE PRECISION,
    champion_positive BOOLEAN,
    challenger_positive BOOLEAN,
    features TEXT NOT NULL,
    landed_at BIGINT NOT NULL,
    PRIMARY KEY (prediction_id)
);
CREATE INDEX predictions_by_time ON predictions (experiment, at);
CREATE INDEX predictions_by_customer ON predictions (experiment, customer_id, at, prediction_id);
CREATE TABLE outcomes (
    prediction_id VARCHAR COLLATE "C" NOT NULL,
    observed_at BIGINT NOT NULL,
    received_at BIGINT NOT NULL,
    positive BOOLEAN NOT NULL,
    landed_at BIGINT NOT NULL,
    PRIMARY KEY (prediction_id, observed_at, received_at, positive)
);
CREATE INDEX outcomes_by_landing ON outcomes (landed_at);
CREATE TABLE spools (
    worker VARCHAR NOT NULL,
    spool_id VARCHAR NOT NULL,
    segment BIGINT NOT NULL,
    "offset" BIGINT NOT NULL,
    watermark BIGINT NOT NULL,
    lost_at BIGINT,
    PRIMARY KEY (worker)
);
CREATE TABLE cohorts (
    experiment VARCHAR NOT NULL,
    start BIGINT NOT NULL,
    revision BIGINT NOT NULL,
    mode VARCHAR NOT NULL,
    split DOUBLE PRECISION NOT NULL,
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
CREATE TABLE closings (
    experiment VARCHAR NOT NULL,
    closed_through BIGINT NOT NULL,
    closed_at BIGINT NOT NULL,
    PRIMARY KEY (experiment)
);
CREATE TABLE verdicts (
    number BIGSERIAL NOT NULL,
    experiment VARCHAR NOT NULL,
    at BIGINT NOT NULL,
    verdict VARCHAR NOT NULL,
    content TEXT NOT NULL,
    PRIMARY KEY (number)
);
CREATE INDEX verdicts_by_experiment ON verdicts (experiment, number);
CREATE TABLE audit (
    number BIGSERIAL NOT NULL,
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
INSERT INTO alembic_version (version_num) VALUES ('0001') RETURNING alembic_version.version_num;
ALTER TABLE predictions ADD COLUMN enrolment VARCHAR DEFAULT 'enrolled' NOT NULL;
ALTER TABLE predictions ADD COLUMN no_treatment BOOLEAN DEFAULT false NOT NULL;
ALTER TABLE predictions ADD COLUMN latency_us BIGINT;
ALTER TABLE predictions ADD COLUMN request_id VARCHAR;
ALTER TABLE predictions ADD COLUMN trace_id VARCHAR;
ALTER TABLE predictions ADD COLUMN client VARCHAR;
ALTER TABLE spools ADD COLUMN mark BIGINT;
CREATE TABLE dead_letters (
    worker VARCHAR NOT NULL,
    spool_id VARCHAR NOT NULL,
    segment BIGINT NOT NULL,
    "offset" BIGINT NOT NULL,
    line BYTEA NOT NULL,
    landed_at BIGINT NOT NULL,
    PRIMARY KEY (worker, spool_id, segment, "offset")
);
CREATE TABLE tombstones (
    customer VARCHAR NOT NULL,
    key VARCHAR NOT NULL,
    forgotten_at BIGINT NOT NULL,
    PRIMARY KEY (customer)
);
CREATE TABLE upkeep (
    number BIGSERIAL NOT NULL,
    at BIGINT NOT NULL,
    who VARCHAR NOT NULL,
    action VARCHAR NOT NULL,
    subject VARCHAR NOT NULL,
    content TEXT NOT NULL,
    PRIMARY KEY (number)
);
DROP INDEX predictions_by_customer;
DROP INDEX outcomes_by_landing;
DROP INDEX predictions_by_time;
ALTER TABLE predictions RENAME TO predictions_of_schema_1;
ALTER TABLE predictions_of_schema_1 RENAME CONSTRAINT predictions_pkey TO predictions_of_schema_1_pkey;
CREATE TABLE predictions (LIKE predictions_of_schema_1 INCLUDING DEFAULTS) PARTITION BY RANGE (prediction_id);
CREATE TABLE predictions_default PARTITION OF predictions DEFAULT;
CREATE STATISTICS predictions_default_way ON (landed_at - at) FROM predictions_default;
INSERT INTO predictions SELECT * FROM predictions_of_schema_1;
DROP TABLE predictions_of_schema_1;
ALTER TABLE predictions ADD PRIMARY KEY (prediction_id);
ALTER TABLE outcomes RENAME TO outcomes_of_schema_1;
ALTER TABLE outcomes_of_schema_1 RENAME CONSTRAINT outcomes_pkey TO outcomes_of_schema_1_pkey;
CREATE TABLE outcomes (LIKE outcomes_of_schema_1 INCLUDING DEFAULTS) PARTITION BY RANGE (prediction_id);
CREATE TABLE outcomes_default PARTITION OF outcomes DEFAULT;
INSERT INTO outcomes SELECT * FROM outcomes_of_schema_1;
DROP TABLE outcomes_of_schema_1;
ALTER TABLE outcomes ADD PRIMARY KEY (prediction_id, observed_at, received_at, positive);
CREATE INDEX predictions_by_time ON predictions (experiment, at);
CREATE INDEX outcomes_by_landing ON outcomes (landed_at, prediction_id);
CREATE INDEX predictions_by_customer ON predictions (customer_id, experiment, at);
CREATE INDEX predictions_long_under_way ON predictions (experiment, at) WHERE landed_at - at > 3600000000;
CREATE TABLE treatments (
    prediction_id VARCHAR COLLATE "C" NOT NULL,
    action VARCHAR COLLATE "C" NOT NULL,
    taken_at BIGINT NOT NULL,
    received_at BIGINT NOT NULL,
    landed_at BIGINT NOT NULL,
    PRIMARY KEY (prediction_id, action, taken_at)
)
 PARTITION BY RANGE (prediction_id);
CREATE TABLE treatments_default PARTITION OF treatments DEFAULT;
UPDATE alembic_version SET version_num='0002' WHERE alembic_version.version_num = '0001';
