"""Every metric that scoring exports, named once; dashboards, alerts and the README use these names and no other."""

from __future__ import annotations

REQUESTS = "gauntlet_http_requests_total"
REQUEST_SECONDS = "gauntlet_http_request_duration_seconds"
PREDICTIONS = "gauntlet_predictions_total"
CHALLENGER_FAILURES = "gauntlet_challenger_failures_total"
OUTCOMES = "gauntlet_outcomes_total"
TREATMENTS = "gauntlet_treatments_total"
EXPERIMENT_REVISION = "gauntlet_experiment_revision"
EXPERIMENT_MODE = "gauntlet_experiment_mode"
EXPERIMENT_SPLIT = "gauntlet_experiment_split_ratio"
EXPERIMENT_FILE_VALID = "gauntlet_experiment_file_valid"
EXPERIMENT_CHAMPION_PRESENT = "gauntlet_experiment_champion_present"
EXPERIMENT_CHALLENGER_PRESENT = "gauntlet_experiment_challenger_present"
SPOOL_LOST = "gauntlet_spool_lost_total"
JUDGE_UNANSWERED = "gauntlet_judge_unanswered_total"
READY = "gauntlet_ready"
MODEL_INFO = "gauntlet_model_info"
BUILD_INFO = "gauntlet_build_info"
MODEL_SECONDS = "gauntlet_model_duration_seconds"
MODEL_ROWS = "gauntlet_model_rows_total"
PROBABILITY = "gauntlet_probability"
SCORE_BINS = "gauntlet_score_bin_total"
SCORE_REFERENCE = "gauntlet_score_reference_rows"
FEATURE_BINS = "gauntlet_feature_bin_total"
FEATURE_REFERENCE = "gauntlet_feature_reference_rows"
FEATURE_SUM = "gauntlet_feature_above_minimum_total"
CHALLENGERS_LEFT_OUT = "gauntlet_challengers_left_out"
SPOOL_FAILING = "gauntlet_spool_failing"
CIRCUITS_OPEN = "gauntlet_challenger_circuits_open"
WORKERS = "gauntlet_workers"
WORKER_DEATHS = "gauntlet_worker_deaths_total"

HELP = {
    REQUESTS: "Requests answered, by route, method and status; route 'unmatched' where there is none.",
    REQUEST_SECONDS: "Seconds from the request's head to the answer's last byte handed to the server, by route.",
    PREDICTIONS: "Predictions answered, by variant, model, label and purpose.",
    CHALLENGER_FAILURES: "Times a challenger raised or answered no probability; the champion answered instead.",
    OUTCOMES: "Outcomes accepted.",
    TREATMENTS: "Treatments accepted.",
    EXPERIMENT_REVISION: "Revision of the experiment file that answers now; 0 for the Bento's built-in roles.",
    EXPERIMENT_MODE: "1 for the experiment's mode, 0 for the others.",
    EXPERIMENT_SPLIT: "The challenger's share of customers, in [0, 1].",
    EXPERIMENT_FILE_VALID: "1 if the experiment file can be read; 0 while the last good one is kept.",
    EXPERIMENT_CHAMPION_PRESENT: "1 if the Bento carries the champion that the experiment file names.",
    EXPERIMENT_CHALLENGER_PRESENT: "1 if the Bento carries the challenger that the experiment file puts on trial.",
    SPOOL_LOST: "Records that were answered and could not be written to the spool.",
    JUDGE_UNANSWERED: "Times the judge did not answer a question about the experiment.",
    READY: "1 if every worker should get requests.",
    MODEL_INFO: "1 for each model in its role now: role, model, name, version, digest.",
    BUILD_INFO: "1; versions of Gauntlet, Python and onnxruntime.",
    MODEL_SECONDS: "Seconds that one call of a model took, by model; one row, or all that came together.",
    MODEL_ROWS: "Rows that a model was asked to score, by model.",
    PROBABILITY: "Probabilities of live predictions, by model, whether the model answered or was in the shadow.",
    SCORE_BINS: "Live probabilities in the bins of the model's reference, by model and bin.",
    SCORE_REFERENCE: "Training rows in the same bins.",
    FEATURE_BINS: "Live rows in the bins of each model's reference, by model, feature and bin, whoever scored them.",
    FEATURE_REFERENCE: "Training rows in the same bins.",
    FEATURE_SUM: "Sum over live rows of how far a numeric feature is above the contract's minimum.",
    CHALLENGERS_LEFT_OUT: "1 while challengers are left out, because a worker died twice within a minute.",
    SPOOL_FAILING: "1 while a worker cannot write its prediction log, or not make it durable.",
    CIRCUITS_OPEN: "Challengers that a worker leaves alone because they failed or took too long; the most of any.",
    WORKERS: "Scoring workers that gave a sign of life within 5 s.",
    WORKER_DEATHS: "Workers that ended without a clean stop, counted when the next one starts.",
}
"""What each metric says; `/metrics` prints it and a test compares the names."""


class Shipper:
    """What the shipper exports on its own port."""

    ROWS = "gauntlet_shipper_rows_total"
    DUPLICATES = "gauntlet_shipper_duplicates_total"
    BAD_LINES = "gauntlet_shipper_bad_lines_total"
    PASSES_FAILED = "gauntlet_shipper_passes_failed_total"
    SPOOL_BYTES = "gauntlet_shipper_spool_bytes"
    WATERMARK_AGE = "gauntlet_shipper_watermark_age_seconds"


SHIPPER_HELP = {
    Shipper.ROWS: "Records moved to the store that were not there before, by kind.",
    Shipper.DUPLICATES: "Records that were in the store already.",
    Shipper.BAD_LINES: "Lines that are no record, or that the store cannot hold; they are in the dead letters.",
    Shipper.PASSES_FAILED: "Passes that the store or a spool did not allow to end; each was tried again.",
    Shipper.SPOOL_BYTES: "Bytes that still wait in a spool.",
    Shipper.WATERMARK_AGE: "Seconds since the moment up to which a spool is known to be in the store.",
}
