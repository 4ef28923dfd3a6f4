-- Schema 1 as the Gauntlet before the scripts in service/store/migrations made it on postgresql: what SQLAlchemy's
-- `create_all` sent for its tables. A golden value: do not change it.
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
CREATE TABLE outcomes (
    prediction_id VARCHAR COLLATE "C" NOT NULL,
    observed_at BIGINT NOT NULL,
    received_at BIGINT NOT NULL,
    positive BOOLEAN NOT NULL,
    landed_at BIGINT NOT NULL,
    PRIMARY KEY (prediction_id, observed_at, received_at, positive)
);
CREATE INDEX outcomes_by_landing ON outcomes (landed_at);
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
CREATE INDEX predictions_by_customer ON predictions (experiment, customer_id, at, prediction_id);
CREATE INDEX predictions_by_time ON predictions (experiment, at);
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
    lost_at BIGINT,
    PRIMARY KEY (worker)
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
INSERT INTO schema_version (version) VALUES (1);
