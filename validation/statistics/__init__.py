"""The statistics behind the gate and the verdict: values in, values out.

Counts come in and log e-values, p-values, intervals and distances go out, each by a named formula with its source;
thresholds, margins and what follows from them belong to the rules in `validation`. Only numpy, scipy and statsmodels
are imported here: no clock, no randomness, no files, no model.

Logs of e-values are natural. Under its null the e-value has mean at most 1 at every stopping time, so a test that
rejects when the log reaches ln(1/alpha) keeps its level however often it is looked at (Ville's inequality). What cannot
be computed raises ValueError, which names the argument and what is allowed; without data a log e-value is 0 and an
interval the whole range.
"""

from __future__ import annotations

from validation.statistics.bootstrap import bootstrap_interval
from validation.statistics.calibration import Calibration, ExpectedConfusion, calibration, cbpe, equal_count_bins
from validation.statistics.discordant import sequential_mcnemar, win_rate_sequence
from validation.statistics.drift import (
    jensen_shannon,
    kolmogorov_smirnov,
    psi,
    psi_limit,
    row_repeats,
    share_limit,
    smoothed_shares,
)
from validation.statistics.holdout import McNemar, mcnemar, tango_interval, tango_z, wilson_interval
from validation.statistics.mixtures import running_mean_sequence
from validation.statistics.multiplicity import e_benjamini_hochberg, e_lond_level, e_mean
from validation.statistics.noninferiority import noninferiority_log_wealth
from validation.statistics.paired import (
    Side,
    accuracy_difference_sequence,
    paired_log_wealth,
    payoff_log_wealth,
    payoff_log_wealths,
    payoff_mean_sequence,
)
from validation.statistics.roc import DeLong, auc_interval, delong
from validation.statistics.sample_ratio import error_rate_log_e, mixed_srm_log_e, running_p, srm_log_e
from validation.statistics.unpaired import (
    Estimate,
    asymptotic_log_e,
    asymptotic_sequence,
    difference,
    ratio_metric,
    share_estimate,
    stratified,
)

__all__ = [
    "Calibration",
    "DeLong",
    "Estimate",
    "ExpectedConfusion",
    "McNemar",
    "Side",
    "accuracy_difference_sequence",
    "asymptotic_log_e",
    "asymptotic_sequence",
    "auc_interval",
    "bootstrap_interval",
    "calibration",
    "cbpe",
    "delong",
    "difference",
    "e_benjamini_hochberg",
    "e_lond_level",
    "e_mean",
    "equal_count_bins",
    "error_rate_log_e",
    "jensen_shannon",
    "kolmogorov_smirnov",
    "mcnemar",
    "mixed_srm_log_e",
    "noninferiority_log_wealth",
    "paired_log_wealth",
    "payoff_log_wealth",
    "payoff_log_wealths",
    "payoff_mean_sequence",
    "psi",
    "psi_limit",
    "ratio_metric",
    "row_repeats",
    "running_mean_sequence",
    "running_p",
    "sequential_mcnemar",
    "share_estimate",
    "share_limit",
    "smoothed_shares",
    "srm_log_e",
    "stratified",
    "tango_interval",
    "tango_z",
    "wilson_interval",
    "win_rate_sequence",
]
