"""The model artifact: a folder that training writes, the gate judges, packing packs and the service reads.

Its parts are the contract (`contract`), the encoding that follows from it (`encoding`), the model (`scorer`), the
reference distribution and the training record (`reference`), the manifest that makes every byte count (`manifest`)
and the blessing that a PASS adds (`blessing`), with who signed it (`signing`) and whether it holds (`holding`).
No pickle is in it, and nothing here needs more than numpy, msgspec and onnxruntime, but that a signature needs
cryptography, which is imported when one is made or looked at.
"""

from bentos.artifact.blessing import (
    BlessedCheck,
    Blessing,
    Scope,
    add_blessing,
    blessing_id,
    canonical_blessing,
    dump_blessing,
    parse_blessing,
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
    phrase_of,
)
from bentos.artifact.encoding import Encoder, Value, categories_of, category_of, floats_of, is_allowed
from bentos.artifact.holding import Finding, Trust, check_blessing, examine_blessing, policies_of, problems_in
from bentos.artifact.loading import Artifact, load_artifact
from bentos.artifact.manifest import (
    BLESSING,
    FILES,
    MANIFEST,
    check_file,
    check_folder,
    sha256,
    verify,
    write_beside,
    write_files,
)
from bentos.artifact.reference import Binned, Reference, TrainingRecord, dump_json
from bentos.artifact.scorer import INPUT, OUTPUT, Scorer
from bentos.artifact.signing import (
    PublicKeys,
    SigningKey,
    make_keys,
    new_keys,
    public_keys_of,
    read_public_keys,
    signing_key_of,
)
from bentos.artifact.wording import PLACE, Adjustment, Offer

__all__ = [
    "BLESSING",
    "FILES",
    "INPUT",
    "MANIFEST",
    "OUTPUT",
    "PLACE",
    "Adjustment",
    "Artifact",
    "Binned",
    "BlessedCheck",
    "Blessing",
    "Categorical",
    "Contract",
    "Encoder",
    "Feature",
    "Finding",
    "Labels",
    "Numeric",
    "Offer",
    "PublicKeys",
    "Reference",
    "RiskBand",
    "Scope",
    "Scorer",
    "SigningKey",
    "TrainingRecord",
    "Trust",
    "Value",
    "add_blessing",
    "blessing_id",
    "canonical_blessing",
    "categories_of",
    "category_of",
    "check_blessing",
    "check_contract",
    "check_file",
    "check_folder",
    "dump_blessing",
    "dump_contract",
    "dump_json",
    "examine_blessing",
    "floats_of",
    "is_allowed",
    "load_artifact",
    "load_contract",
    "make_keys",
    "new_keys",
    "parse_blessing",
    "parse_contract",
    "phrase_of",
    "policies_of",
    "problems_in",
    "public_keys_of",
    "read_blessing",
    "read_public_keys",
    "sha256",
    "signing_key_of",
    "verify",
    "write_beside",
    "write_files",
]
