"""Every metric that scoring exports, named once; dashboards, alerts and the README use these names and no other."""

from __future__ import annotations

REQUESTS = "gauntlet_http_requests_total"
REQUEST_SECONDS = "gauntlet_http_request_duration_seconds"
PREDICTIONS = "gauntlet_predictions_total"
CHALLENGER_FAILURES = "gauntlet_challenger_failures_total"
OUTCOMES = "gauntlet_outcomes_total"
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

HELP = {
    REQUESTS: "Requests answered, by route, method and status; route 'unmatched' where there is none.",
    REQUEST_SECONDS: "Seconds from the request's head to the answer's last byte handed to the server, by route.",
    PREDICTIONS: "Predictions answered, by variant, model, label and purpose.",
    CHALLENGER_FAILURES: "Times a challenger raised or answered no probability; the champion answered instead.",
    OUTCOMES: "Outcomes accepted.",
    EXPERIMENT_REVISION: "Revision of the experiment file that answers now; 0 for the Bento's built-in roles.",
    EXPERIMENT_MODE: "1 for the experiment's mode, 0 for the others.",
    EXPERIMENT_SPLIT: "The challenger's share of customers, in [0, 1].",
    EXPERIMENT_FILE_VALID: "1 if the experiment file can be read; 0 while the last good one is kept.",
    EXPERIMENT_CHAMPION_PRESENT: "1 if the Bento carries the champion that the experiment file names.",
    EXPERIMENT_CHALLENGER_PRESENT: "1 if the Bento carries the challenger that the experiment file puts on trial.",
    SPOOL_LOST: "Records that were answered and could not be written to the spool.",
    JUDGE_UNANSWERED: "Times the judge did not answer a question about the experiment.",
    READY: "1 if this process should get requests.",
    MODEL_INFO: "1 for each model in its role now: role, model, name, version, digest.",
    BUILD_INFO: "1; versions of Gauntlet, Python and onnxruntime.",
}
"""What each metric says; `/metrics` prints it and a test compares the names."""
