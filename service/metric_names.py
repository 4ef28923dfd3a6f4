"""Every metric that scoring exports, named once; dashboards, alerts and the README use these names and no other."""

from __future__ import annotations

REQUESTS = "gauntlet_http_requests_total"
REQUEST_SECONDS = "gauntlet_http_request_duration_seconds"
PREDICTIONS = "gauntlet_predictions_total"
RISKS = "gauntlet_risk_predictions_total"
CHALLENGER_FAILURES = "gauntlet_challenger_failures_total"
OUTCOMES = "gauntlet_outcomes_total"
TREATMENTS = "gauntlet_treatments_total"
EXPERIMENT_REVISION = "gauntlet_experiment_revision"
EXPERIMENT_MODE = "gauntlet_experiment_mode"
EXPERIMENT_SPLIT = "gauntlet_experiment_split_ratio"
EXPERIMENT_FILE_VALID = "gauntlet_experiment_file_valid"
KEYS_VALID = "gauntlet_keys_valid"
EXPERIMENT_CHAMPION_PRESENT = "gauntlet_experiment_champion_present"
EXPERIMENT_CHALLENGER_PRESENT = "gauntlet_experiment_challenger_present"
SPOOL_LOST = "gauntlet_spool_lost_total"
JUDGE_UNANSWERED = "gauntlet_judge_unanswered_total"
READY = "gauntlet_ready"
MODEL_INFO = "gauntlet_model_info"
BUILD_INFO = "gauntlet_build_info"
DECISION_CUT = "gauntlet_decision_cut_ratio"
RISK_BAND = "gauntlet_risk_band_from_ratio"
MODEL_SECONDS = "gauntlet_model_duration_seconds"
MODEL_ROWS = "gauntlet_model_rows_total"
PROBABILITY = "gauntlet_probability"
SCORE_BINS = "gauntlet_score_bin_total"
SCORE_REFERENCE = "gauntlet_score_reference_rows"
SCORE_REFERENCE_MEAN = "gauntlet_score_reference_mean_ratio"
FEATURE_BINS = "gauntlet_feature_bin_total"
FEATURE_REFERENCE = "gauntlet_feature_reference_rows"
FEATURE_SUM = "gauntlet_feature_above_minimum_total"
CUSTOMER_ROWS = "gauntlet_customer_rows_total"
CUSTOMER_BITS = "gauntlet_customer_bit_rows_total"
CHALLENGERS_LEFT_OUT = "gauntlet_challengers_left_out"
BLESSING_HOLDS = "gauntlet_blessing_holds"
BLESSING_EXPIRES = "gauntlet_blessing_expires_timestamp_seconds"
BLESSING_JUDGED = "gauntlet_blessing_judged_timestamp_seconds"
GATE_CHECK = "gauntlet_gate_check"
SPOOL_FAILING = "gauntlet_spool_failing"
CIRCUITS_OPEN = "gauntlet_challenger_circuits_open"
WORKERS = "gauntlet_workers"
WORKER_DEATHS = "gauntlet_worker_deaths_total"

HASH_BITS = 128
"""How many bits of a customer's hash are counted. An estimate from them has a relative standard deviation of the root
of 2 / 128, an eighth, and as many degrees of freedom."""

HELP = {
    REQUESTS: "Requests answered, by route, method and status; route 'unmatched' where there is none.",
    REQUEST_SECONDS: "Seconds from the request's head to the answer's last byte handed to the server, by route.",
    PREDICTIONS: "Predictions answered, by variant, model, label and purpose.",
    RISKS: "Live predictions answered, by variant, model and risk band.",
    CHALLENGER_FAILURES: "Times a challenger raised or answered no probability; the champion answered instead.",
    OUTCOMES: "Outcomes accepted.",
    TREATMENTS: "Treatments accepted.",
    EXPERIMENT_REVISION: "Revision of the experiment file that answers now; 0 for the Bento's built-in roles.",
    EXPERIMENT_MODE: "1 for the experiment's mode, 0 for the others.",
    EXPERIMENT_SPLIT: "The challenger's share of customers, in [0, 1].",
    EXPERIMENT_FILE_VALID: "1 if the experiment file can be read; 0 while the last good one is kept.",
    KEYS_VALID: "1 if the key files can be read, or none are asked for; 0 while the last good keys hold.",
    EXPERIMENT_CHAMPION_PRESENT: "1 if the Bento carries the champion that the experiment file names.",
    EXPERIMENT_CHALLENGER_PRESENT: "1 if the Bento carries the challenger that the experiment file puts on trial.",
    SPOOL_LOST: "Records that were answered and could not be written to the spool.",
    JUDGE_UNANSWERED: "Times the judge did not answer a question about the experiment.",
    READY: "1 if every worker should get requests.",
    MODEL_INFO: "1 for each model in its role now: role, model, name, version, digest, its positive label.",
    BUILD_INFO: "1; versions of Gauntlet, Python and onnxruntime.",
    DECISION_CUT: "Probability from which the positive label is answered, by model.",
    RISK_BAND: "Probability from which a risk band begins, by model and band.",
    MODEL_SECONDS: "Seconds that one call of a model took, by model; one row, or all that came together.",
    MODEL_ROWS: "Rows that a model was asked to score, by model.",
    PROBABILITY: "Probabilities of live predictions by variant and model, whether it answered or was in the shadow.",
    SCORE_BINS: "Live probabilities in the bins of the model's reference, by model and bin.",
    SCORE_REFERENCE: "Training rows in the same bins, and each bin's place in their order.",
    SCORE_REFERENCE_MEAN: "Mean of the probabilities that the model gave training rows it was not fitted on, by model.",
    FEATURE_BINS: "Live rows in the bins of each model's reference, by model, feature and bin, whoever scored them.",
    FEATURE_REFERENCE: "Training rows in the same bins, and each bin's place where they have an order.",
    FEATURE_SUM: "Sum over live rows of how far a numeric feature is above the contract's minimum.",
    CUSTOMER_ROWS: "Live rows that named a customer.",
    CUSTOMER_BITS: "Of those, rows whose customer's hash has a bit: how often customers come back follows from it.",
    CHALLENGERS_LEFT_OUT: "1 while challengers are left out, because a worker died twice within a minute.",
    BLESSING_HOLDS: "1 while a packed model's blessing holds, by role and model; a champion serves on at 0 too.",
    BLESSING_EXPIRES: "When a packed model's blessing expires, by role and model, in seconds since 1970 UTC.",
    BLESSING_JUDGED: "When the gate blessed a packed model, by role and model, in seconds since 1970 UTC.",
    GATE_CHECK: "What the gate measured of a packed model, by model and check: observed, the interval's ends, bound.",
    SPOOL_FAILING: "1 while a worker cannot write its prediction log, or not make it durable.",
    CIRCUITS_OPEN: "Challengers that a worker leaves alone because they failed or took too long; the most of any.",
    WORKERS: "Scoring workers that gave a sign of life within 5 s.",
    WORKER_DEATHS: "Workers that ended without a clean stop, counted when the next one starts.",
}
"""What each metric says; `/metrics` prints it and a test compares the names."""


MODEL_DIGITS = 12
"""So many of a digest are the judge's label `model`: experiment file and store know models by nothing else, and it is
the same in whatever registry. Scoring says in `gauntlet_model_info` which name and version it is."""


class Judge:
    """What the judge exports where it answers."""

    MATURED = "gauntlet_judge_matured_customers"
    LATE = "gauntlet_judge_late_rows"
    CUSTOMERS = "gauntlet_judge_customers"
    WAITING = "gauntlet_judge_waiting_predictions"
    LOGGED = "gauntlet_judge_logged_rows"
    OUTCOMES = "gauntlet_judge_outcomes_total"
    ANSWERED = "gauntlet_judge_phase_customers"
    ACCURACY = "gauntlet_judge_accuracy_ratio"
    LOG_E = "gauntlet_judge_log_e"
    THRESHOLD = "gauntlet_judge_log_e_threshold"
    DIFFERENCE = "gauntlet_judge_difference"
    GROUP_DIFFERENCE = "gauntlet_judge_group_difference"
    GROUP_MATURED = "gauntlet_judge_group_matured_customers"
    GROUP_MARGIN = "gauntlet_judge_group_margin"
    PROTECTED_CUSTOMERS = "gauntlet_judge_protected_customers"
    PROTECTED_OUTCOME = "gauntlet_judge_protected_outcome_ratio"
    PROTECTED_SELECTION = "gauntlet_judge_protected_selection_ratio"
    PROTECTED_ACCURACY = "gauntlet_judge_protected_accuracy_ratio"
    LIVE_REQUESTS = "gauntlet_judge_live_requests"
    LIVE_FAILED = "gauntlet_judge_live_failed_requests"
    LIVE_P99 = "gauntlet_judge_live_p99_seconds"
    LIVE_POSITIVE = "gauntlet_judge_live_positive_ratio"
    VERDICT = "gauntlet_judge_verdict"
    TRIAL = "gauntlet_judge_trial_number"
    MARGIN_SPENT = "gauntlet_judge_margin_spent"
    COHORT_LAG = "gauntlet_judge_cohort_lag_seconds"
    LOOK_SECONDS = "gauntlet_judge_look_duration_seconds"
    LOOKED_AT = "gauntlet_judge_look_timestamp_seconds"
    LOOKS_FAILED = "gauntlet_judge_looks_failed_total"
    CONTRACT_KNOWN = "gauntlet_judge_contract_known"


JUDGE_HELP = {
    Judge.MATURED: "Customers in closed cohorts that both models scored and whose truth is known, by challenger.",
    Judge.LATE: "Predictions and truths that landed after their cohort was closed, and change nothing, by challenger.",
    Judge.CUSTOMERS: "Customers in closed cohorts by what came of them: win, tie, loss, a missing truth, or unscored.",
    Judge.WAITING: "Live predictions of the experiment, on trial or not, that wait for outcomes: their cohort is open.",
    Judge.LOGGED: "Rows of the experiment in the store, by kind, matured or not.",
    Judge.OUTCOMES: "Outcomes of live predictions since the judge began, by who answered and whether that was right.",
    Judge.ANSWERED: "Scored customers of the newest phase that has closed cohorts, by the role that answered.",
    Judge.ACCURACY: "Share of matured customers a model got right, by role: observed, 95 % confidence sequence's ends.",
    Judge.LOG_E: "Log e-values by challenger and claim; with _worst and _best every missing truth is against it.",
    Judge.THRESHOLD: "What a claim's log e-values must reach, by challenger and claim.",
    Judge.DIFFERENCE: "Challenger minus champion in the policy's metric: observed, and the interval's ends.",
    Judge.GROUP_DIFFERENCE: "The same by attribute and value of each group that the policy names.",
    Judge.GROUP_MATURED: "Matured customers of each group that the policy names.",
    Judge.GROUP_MARGIN: "What each group may lose at most, in the unit of its difference.",
    Judge.PROTECTED_CUSTOMERS: "Of the newest matured customers those of each protected group; none below 100.",
    Judge.PROTECTED_OUTCOME: "Share of these whose outcome was positive.",
    Judge.PROTECTED_SELECTION: "Share of these that a model called positive, by role.",
    Judge.PROTECTED_ACCURACY: "Share of these that a model got right, by role.",
    Judge.LIVE_REQUESTS: "Last requests on which the challenger was asked, where the policy sets limits.",
    Judge.LIVE_FAILED: "Of these, on how many it gave no probability.",
    Judge.LIVE_P99: "99th percentile of a model's calls in these, by role.",
    Judge.LIVE_POSITIVE: "Share of these that a model called positive, by role.",
    Judge.VERDICT: "1 for what the evidence allows now, 0 for the other verdicts, by challenger.",
    Judge.TRIAL: "Number of the challenger's trial in its lineage.",
    Judge.MARGIN_SPENT: "What the promotions of the lineage may have lost against its anchor, in the metric's unit.",
    Judge.COHORT_LAG: "Seconds by which the closing of cohorts is behind, as it waits for a spool or for the judge.",
    Judge.LOOK_SECONDS: "Seconds that the last look took, closing included.",
    Judge.LOOKED_AT: "When the last look succeeded, in seconds since 1970 UTC.",
    Judge.LOOKS_FAILED: "Looks that experiment file or store did not allow to end; each is tried again.",
    Judge.CONTRACT_KNOWN: "1 if the judge has the champion's contract, which says who is protected; 0 if it cannot.",
}


class Insight:
    """What insight exports where it answers."""

    EXPLANATIONS = "gauntlet_insight_explanations_total"
    EXPLANATION_SECONDS = "gauntlet_insight_explanation_duration_seconds"
    KEPT = "gauntlet_insight_kept_explanations"
    WORKERS = "gauntlet_insight_workers"
    WORKER_DEATHS = "gauntlet_insight_worker_deaths_total"
    QUEUE = "gauntlet_insight_queue_length"
    DRAFTS = "gauntlet_insight_email_drafts_total"
    GROQ_SECONDS = "gauntlet_insight_groq_duration_seconds"
    GROQ_CALLS_LEFT = "gauntlet_insight_groq_calls_left"
    GROQ_CIRCUIT_OPEN = "gauntlet_insight_groq_circuit_open"


INSIGHT_HELP = {
    Insight.EXPLANATIONS: "Explanations, by model and result: explained, kept (from before), unavailable or failed.",
    Insight.EXPLANATION_SECONDS: "Seconds until a worker had explained a row, the queue included, by model.",
    Insight.KEPT: "Explanations that are kept for the next time.",
    Insight.WORKERS: "Workers that are ready to explain.",
    Insight.WORKER_DEATHS: "Workers that ended, of themselves or because a row took too long; each was replaced.",
    Insight.QUEUE: "Rows that wait for a worker.",
    Insight.DRAFTS: "Drafts of retention e-mails, by source (groq or template) and the reason why it is from there.",
    Insight.GROQ_SECONDS: "Seconds that a call of Groq took, whatever came of it.",
    Insight.GROQ_CALLS_LEFT: "Calls of Groq that this process may still make today (UTC).",
    Insight.GROQ_CIRCUIT_OPEN: "1 while Groq is left alone, because it failed several times in a row.",
}


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
