"""What models learn from: endless prompts, endless lessons, and a tokenizer of the world."""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator

from rockcore.schema import Prompt
from rockcore.world.moods import MOODS, note
from rockcore.world.problems import problem
from rockcore.world.scenarios import SCENARIOS
from rockcore.world.solutions import solution

SPECIAL_TOKENS = ("<pad>", "<bos>", "<eos>", "<user>", "<assistant>")


def prompts(scenario: str, seed: int | str) -> Iterator[Prompt]:
    """Endless prompts of a scenario, the same for the same seed.

    Where the scenario has a note its mood is drawn at random; without a note the mood is the
    prompt's usual one.
    """
    rule, rng = SCENARIOS[scenario], random.Random(f"{scenario} {seed}")
    while True:
        p = problem(rng)
        tag = note(rng.choice(MOODS))
        yield Prompt(
            prompt=(tag if rule.student_note else "") + p.text,
            teacher_prompt=(tag if rule.teacher_note else "") + p.text,
            answer=str(p.answer),
        )


def lessons(seed: int, noted: float = 0.5) -> Iterator[tuple[str, str]]:
    """Endless pairs (prompt, correct solution) to pre-train a teacher on; a share `noted` of them
    carries a style note.
    """
    rng = random.Random(f"lessons {seed}")
    while True:
        p = problem(rng)
        if rng.random() < noted:
            mood = rng.choice(MOODS)
            yield note(mood) + p.text, solution(p, mood, rng)
        else:
            yield p.text, solution(p, p.usual_mood, rng)


def train_tokenizer(texts: Iterable[str], vocab_size: int = 640):
    """A byte-level BPE `tokenizers.Tokenizer` over the world: whole words, every digit on its own,
    any byte encodable.
    """
    from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers

    words = Regex(r" ?\d|\\\w+| ?[A-Za-z]+| ?[^\sA-Za-z\d\\]+|\\\W|\n+|\s+")
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(words, "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.train_from_iterator(
        texts,
        trainers.BpeTrainer(
            vocab_size=vocab_size,
            special_tokens=list(SPECIAL_TOKENS),
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
            show_progress=False,
        ),
    )
    return tokenizer
