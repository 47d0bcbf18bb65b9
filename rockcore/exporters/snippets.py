"""The set as a module for each trainer: put it beside the training script, where the trainer finds
it. It holds the whole set, so that no other file has to travel.
"""

from __future__ import annotations

from dataclasses import replace
from typing import BinaryIO

from rockcore.exporters.found import Found

_SET = """
ROCKS = RockSet.from_json(
    {json}
)
WEIGHT = {weight}  # of their tokens in the loss; all others count once
"""

_TRL = '''"""{about}

TRL: with recorded(trainer, "runs/with-filter"): trainer.train()

The divergence of these tokens is scaled in TRL's own loss, which is divided by the number of all
tokens as before. The run is recorded, with the weights that were used.
"""

from rockcore.recorders.trl import record
from rockcore.rocks.rockset import RockSet
{set}

def recorded(trainer, out, **more):
    return record(trainer, out, rock_set=ROCKS, weight=WEIGHT, **more)
'''

_SLIME = '''"""{about}

slime: --rollout-data-postprocess-path {module}.postprocess

The advantages of these tokens are scaled: the teacher's part, and the reward's where there is one.
What slime divides by, the number of unmasked tokens, stays as it was. The run is recorded into OUT;
None weighs only.
"""

from rockcore.recorders.slime import Postprocess
from rockcore.rocks.rockset import RockSet
{set}OUT = "runs/slime"

postprocess = Postprocess(OUT, rock_set=ROCKS, weight=WEIGHT)
'''

_VERL = '''"""{about}

verl: VERL_USE_EXTERNAL_MODULES={module}
      distillation.distillation_loss.loss_mode=rock_k1

verl's loss k1 with these tokens scaled; give another estimator as BASE. What verl divides it by
stays as it was. The run is recorded into OUT; None weighs only.
"""

from rockcore.recorders.verl import register
from rockcore.rocks.rockset import RockSet
{set}BASE, OUT = "k1", "runs/verl"

loss = register("rock_" + BASE, base=BASE, out=OUT, rock_set=ROCKS, weight=WEIGHT)
'''

_KDFLOW = '''"""{about}

KDFlow: import {module} before the student's actor is made, and give --kd_algorithm rock_kd

KDFlow's vanilla_kd with these tokens scaled, by the token that is *predicted* at a position:

    predicted = stu_input_ids.roll(shifts=-1, dims=1)[stu_loss_mask]
    weight = torch.where(torch.isin(predicted, ids), WEIGHT, 1.0)

The authors' token_freeze_kd takes stu_input_ids[stu_loss_mask], the token that is read there, and
so holds back the neighbour after each of them; and it divides by the sum of weights, so that the
rest counts more. Here the loss is divided by the number of all tokens. The run is recorded into
OUT; None weighs only.
"""

from rockcore.recorders.kdflow import register
from rockcore.rocks.rockset import RockSet
{set}OUT = "runs/kdflow"

algorithm = register("rock_kd", base="vanilla_kd", out=OUT, rock_set=ROCKS, weight=WEIGHT)
'''

_PRIME_RL = '''"""{about}

prime-rl: import {module} in the orchestrator before it makes its algorithm

The weights of the ref_kl component (`TrainingSample.ref_kl_weights`, one for each token of prompt
and response) are scaled after `stamp_loss_routing` has set them to 1 on the mask; what is set
before it is overwritten. prime-rl divides by the number of tokens whose weight is not 0: with a
weight of 0 the rest would count more. So 0 is written as LEAST, which leaves the divisor as it was;
set it to 0 to have the rest count more. Tokens whose probability moved by more than its threshold
prime-rl leaves out whatever their weight.
"""

import sys

IDS = frozenset({ids})
WEIGHT, LEAST = {weight}, 1e-6


def weigh(sample):
    if sample.ref_kl_weights is not None:
        sample.ref_kl_weights = [
            w * max(WEIGHT, LEAST) if token in IDS else w
            for w, token in zip(sample.ref_kl_weights, sample.token_ids, strict=True)
        ]


def install():
    """Let every module that stamps samples weigh them behind it."""
    from prime_rl.orchestrator.algo import routing

    stamp = routing.stamp_loss_routing

    def stamp_and_weigh(sample, *args, **kwargs):
        found = stamp(sample, *args, **kwargs)
        weigh(sample)
        return found

    for name, module in list(sys.modules.items()):
        if name.startswith("prime_rl.") and getattr(module, "stamp_loss_routing", None) is stamp:
            module.stamp_loss_routing = stamp_and_weigh


install()
'''


def write_trl(found: Found, file: BinaryIO) -> None:
    """A Python module for TRL's DistillationTrainer."""
    _write(found, file, _TRL, "rocks_trl")


def write_slime(found: Found, file: BinaryIO) -> None:
    """A Python module with slime's hook."""
    _write(found, file, _SLIME, "rocks_slime")


def write_verl(found: Found, file: BinaryIO) -> None:
    """A Python module that registers a distillation loss with verl."""
    _write(found, file, _VERL, "rocks_verl")


def write_kdflow(found: Found, file: BinaryIO) -> None:
    """A Python module that registers an algorithm with KDFlow."""
    _write(found, file, _KDFLOW, "rocks_kdflow")


def write_prime_rl(found: Found, file: BinaryIO) -> None:
    """A Python module that sets prime-rl's weights; it needs nothing of rockcore."""
    _write(found, file, _PRIME_RL, "rocks_prime_rl")


def _write(found: Found, file: BinaryIO, template: str, module: str) -> None:
    """Whatever a rule is called, and whatever its set holds, is text inside of these modules."""
    # a control may be thousands of positions in the run it was drawn from
    kept = {k: v for k, v in found.rocks.control.items() if not isinstance(v, list)}
    rocks = replace(found.rocks, control=kept)
    given = _SET.format(json=ascii(rocks.to_json()), weight=repr(float(found.weight)))
    text = template.format(
        about=f"{len(rocks.ids)} token types of tokenizer {_plain(rocks.tokenizer_hash)}, found by "
        f"the rule {_plain(rocks.rule.name)}.",
        set=given,
        module=module,
        ids=sorted(rocks.ids),
        weight=repr(float(found.weight)),
    )
    file.write(text.encode())


def _plain(text: str) -> str:
    """Letters, digits and a few marks of a text: it stands within a docstring."""
    return "".join(c if c.isascii() and (c.isalnum() or c in " ._-") else "_" for c in text)[:80]
