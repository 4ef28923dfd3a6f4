"""The model artifact: a folder that training writes, the gate judges, packing packs and the service reads.

Its parts are the contract (`contract`), the encoding that follows from it (`encoding`), the model (`scorer`), the
reference distribution and the training record (`reference`), the manifest that makes every byte count (`manifest`)
and the blessing that a PASS adds (`blessing`).
No pickle is in it, and nothing here needs more than numpy, msgspec and onnxruntime.
"""

from bentos.artifact.blessing import (
    BlessedCheck,
    Blessing,
    add_blessing,
    blessing_id,
    check_blessing,
    dump_blessing,
    read_blessing,
)
from bentos.artifact.contract import (
    Categorical,
    Contract,
    Feature,
    Labels,
    Numeric,
    RiskBand,
    check_contract,
    dump_contract,
    load_contract,
    parse_contract,
)
from bentos.artifact.encoding import Encoder, Value, category_of, floats_of, is_allowed
from bentos.artifact.loading import Artifact, load_artifact
from bentos.artifact.manifest import BLESSING, FILES, MANIFEST, sha256, verify, write_beside, write_files
from bentos.artifact.reference import Binned, Reference, TrainingRecord, dump_json
from bentos.artifact.scorer import INPUT, OUTPUT, Scorer

__all__ = [
    "BLESSING",
    "FILES",
    "INPUT",
    "MANIFEST",
    "OUTPUT",
    "Artifact",
    "Binned",
    "BlessedCheck",
    "Blessing",
    "Categorical",
    "Contract",
    "Encoder",
    "Feature",
    "Labels",
    "Numeric",
    "Reference",
    "RiskBand",
    "Scorer",
    "TrainingRecord",
    "Value",
    "add_blessing",
    "blessing_id",
    "category_of",
    "check_blessing",
    "check_contract",
    "dump_blessing",
    "dump_contract",
    "dump_json",
    "floats_of",
    "is_allowed",
    "load_artifact",
    "load_contract",
    "parse_contract",
    "read_blessing",
    "sha256",
    "verify",
    "write_beside",
    "write_files",
]
