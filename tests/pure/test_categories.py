"""Every token is in exactly one category, and the examples of the paper are where it puts them."""

import json
import re
from types import SimpleNamespace
from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import AddedToken, Tokenizer, decoders, pre_tokenizers, trainers
from tokenizers import models as token_models
from transformers import PreTrainedTokenizerFast

from rockcore.categories import (
    BETWEEN,
    BREAKS,
    CATEGORIES,
    ENDS,
    PLAIN,
    RULES,
    BadRules,
    Rule,
    categories_of,
    categorize,
    categorize_all,
    join_marks,
    joins,
    joins_of,
    load_rules,
    sentence_marks,
    sentence_starts,
    sentence_starts_of,
    text_of_piece,
)
from rockcore.training.vocabulary import vocabulary_columns

EXAMPLES = {
    "latex": [
        "$",
        " $",
        "$$",
        " ($",
        "$.",
        "$$\n",
        "\\",
        "}\\",
        "\\(",
        " \\(",
        "\\]",
        "\\boxed",
        "\\frac",
        " \\times",
        "\\xi",
        "\\xrightarrow",
    ]
    + ["frac", "boxed", "{", "}", "}{", "^", "^{", "_", "_{"],
    "markdown": ["**", " **", ":**", "###", "##", "---", "```", "__"],
    "whitespace": ["\n", "\n\n", " ", "\t", "\xa0", "\r\n"],
    "discourse": ["So", " So", "Let", "We", "Wait", "Then", "Since", "\nBut", "\n\nNow"],
    "digit": ["0", " 7", "42"],
    "operator": ["=", " =", " +", "-", "*", " >", "≤", " →", "∈"],
    "punctuation": [".", ",", ":", ").", "(", "—", "。", " «", "£", "._"],
    "content": [
        "apples",
        " so",
        "Mia",
        "x",
        "",
        "né",
        "中文",
        "😀",
        "\ufffd",
        "\x00",
        "\u202e",
        "boxed in",
        " boxed",
    ]
    + ["\\xe2\\x80", " \\xe2\\x88", ".\\xe2", "\\x94t"],
}


@pytest.mark.parametrize(
    ("token", "category"), [(t, c) for c, tokens in EXAMPLES.items() for t in tokens]
)
def test_examples(token, category):
    assert categorize(token) == category


@pytest.mark.parametrize("token", EXAMPLES["discourse"])
def test_a_discourse_marker_within_a_sentence_is_content(token):
    assert categorize(token, sentence_start=False) == "content"


def test_only_discourse_depends_on_the_place():
    tokens = [t for c, ts in EXAMPLES.items() if c != "discourse" for t in ts]
    special = [False] * len(tokens)
    assert categorize_all(tokens, special, special) == categorize_all(tokens, special)


OWN = (Rule("name", re.compile(r" ?(Tom|So)"), "", sentence_start=True), *RULES)


@given(st.text(), st.booleans(), st.booleans(), st.sampled_from([RULES, OWN, OWN[:1]]))
def test_any_text_at_any_place_has_a_category(token, special, sentence_start, rules):
    assert categorize(token, special, sentence_start, rules) in categories_of(rules)


def test_special_tokens_are_special_whatever_they_look_like():
    assert categorize("42", special=True) == "special"


def test_each_category_is_named_once_and_special_last():
    assert CATEGORIES == (
        "whitespace",
        "digit",
        "content",
        "latex",
        "markdown",
        "punctuation",
        "operator",
        "discourse",
        "function",
        "special",
    )


@given(st.lists(st.tuples(st.sampled_from(["So", " 1", "x", "Ġ"]), st.booleans(), st.booleans())))
def test_all_at_once_is_one_by_one(rows):
    tokens, special, sentence_start = ([row[i] for row in rows] for i in range(3))
    assert categorize_all(tokens, special, np.array(sentence_start, bool)) == [
        categorize(*row) for row in rows
    ]


def test_lists_that_do_not_fit_are_refused():
    with pytest.raises(ValueError):
        categorize_all(["a", "b"], [False, False], [True])


# Where a sentence opens


@pytest.mark.parametrize(
    ("before", "opens"),
    [
        ([], True),
        (["**"], True),
        (["<think>", "\n"], True),
        (["<think>"], True),
        (["Yes", "."], True),
        (["Yes", ".", '"', ")"], True),
        (["Yes", '?"', " "], True),
        (["x", "$.", " **"], True),
        (["$", "3", ".", "$"], True),
        (["\\]", "\n"], True),
        (["follows", ":\n\n"], True),
        (["follows", ":", "\n\n", "**"], True),
        (["word", "\n", "-", " "], True),
        (["word", "ĊĊ", "▁"], True),
        (["word", "<0x0A>"], True),
        (["终", "。"], True),
        (["Step 1", ":"], True),
        (["Yes", ","], False),
        (["word", " ("], False),
        (["word", " —", " "], False),
        (["$", "x", "$"], False),
        (["Yes", ".", " x"], False),
    ],
)
def test_a_token_opens_a_sentence_where_what_stands_before_it_ended_one(before, opens):
    assert sentence_starts([*before, "So"])[-1] == opens


def test_a_token_that_brings_its_own_line_break_opens_a_sentence():
    assert sentence_starts(["word", "\nBut", " so", " \n**So"]).tolist() == [
        True,
        True,
        False,
        True,
    ]


def test_marks_say_what_a_text_does_to_a_sentence():
    texts = ["word", ". ", "...**\n", " **", "", "</think>", "\nBut", "\\xe2\\x80"]
    assert sentence_marks(texts).tolist() == [
        PLAIN,
        ENDS,
        ENDS,
        BETWEEN,
        BETWEEN,
        BETWEEN,
        BREAKS,
        PLAIN,
    ]
    assert sentence_marks(texts).dtype == np.int8


def opens_by_walking_back(tokens: list[str]) -> list[bool]:
    marks = sentence_marks(tokens)
    opens = []
    for t in range(len(tokens)):
        before = t - 1
        while before >= 0 and marks[before] == BETWEEN:
            before -= 1
        opens.append(bool(before < 0 or marks[before] == ENDS or marks[t] == BREAKS))
    return opens


PIECES = ("So", " x", ".", "?\n", "\n", "**", " ", "(", '."', "$", "3", "\nBut", "—", "<think>", "")
responses = st.lists(st.lists(st.sampled_from(PIECES), min_size=1), max_size=8)


@given(responses)
def test_sentence_starts_are_those_found_by_walking_back(texts):
    starts = np.concatenate([[False], *(np.arange(len(text)) == 0 for text in texts)])[1:].astype(
        bool
    )
    ids = np.array([PIECES.index(token) for text in texts for token in text], np.int32)
    together = sentence_starts_of(ids, starts, sentence_marks(PIECES))
    assert together.dtype == bool
    assert together.tolist() == [opens for text in texts for opens in opens_by_walking_back(text)]
    for text in texts:
        assert sentence_starts(text).tolist() == opens_by_walking_back(text)


@given(
    st.lists(st.sampled_from([p for p in PIECES if p not in ("\nBut", "<think>", "")]), min_size=1)
)
def test_how_a_text_is_cut_into_tokens_does_not_move_its_sentences(tokens):
    lengths = np.array([len(token) for token in tokens])
    assert np.array_equal(
        sentence_starts(tokens),
        sentence_starts(list("".join(tokens)))[np.cumsum(lengths) - lengths],
    )


# Raw vocabulary strings


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        ("Ġthe", " the"),
        ("Ċ", "\n"),
        ("ĊĊĠĠ", "\n\n  "),
        ("ĉĉ", "\t\t"),
        ("ĠâĪ", " \\xe2\\x88"),
        ("âĢĶ", "—"),
        ("ãĢĤ", "。"),
        ("cafÃ©", "café"),
        ("▁the", " the"),
        ("▁▁", "  "),
        ("<0x0A>", "\n"),
        ("<0xE2>", "\\xe2"),
        ("<0xE2>x", "<0xE2>x"),
    ],
)
def test_raw_strings_are_read_as_what_they_stand_for(raw, text):
    assert text_of_piece(raw) == text


@pytest.mark.parametrize(
    "text",
    [
        "né",
        "±",
        "»",
        "č",
        "ĉ",
        "Č",
        "Čapek",
        "źródło",
        " Ġanni",
        "Ġużeppi",
        "âĢ",
        "中文",
        "Ā",
        "\\xe2\\x80",
    ],
)
def test_decoded_text_is_left_alone(text):
    assert text_of_piece(text) == text


@given(st.text(), st.text())
def test_decoded_text_with_a_space_is_left_alone(before, after):
    text = f"{before} {after}".replace("▁", "")
    assert text_of_piece(text) == text


LESSON = (
    "So we have $\\frac{1}{2} = 0.5$.\nWait, the naïve café “Zoë” — née 1987…\n\n**Let** "
    "中文字符 be 日本語。 😀🎉\n"
    "### Step 3\n    Ġanni and Ċetta say: \\boxed{42} ≤ 7 ± 2, x_{i}^{3} → “Čapek”.\n\n\n"
    "```python\n  if x != y:\r\n    print(3)\n```\n---\n"
)
SPECIALS = ["<unk>", "<s>", "</s>", "<|reserved_0|>"]


def byte_level_tokenizer() -> Tokenizer:
    tokenizer = Tokenizer(token_models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=460, special_tokens=SPECIALS, initial_alphabet=alphabet, show_progress=False
    )
    tokenizer.train_from_iterator([LESSON] * 3, trainer)
    tokenizer.add_tokens([AddedToken("<think>", special=False)])
    return tokenizer


def sentencepiece_tokenizer() -> Tokenizer:
    """As Llama 2 has it: trained on lines, so a line break is a byte, as rare characters are."""
    tokenizer = Tokenizer(token_models.BPE(unk_token="<unk>", byte_fallback=True))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Metaspace(), pre_tokenizers.Digits(individual_digits=True)]
    )
    tokenizer.decoder = decoders.Sequence([decoders.ByteFallback(), decoders.Metaspace()])
    lines = [re.sub(r"[\t\u3040-\U0010ffff]", "", line) for line in LESSON.split("\n")]
    tokenizer.train_from_iterator(
        lines * 3, trainers.BpeTrainer(vocab_size=200, special_tokens=SPECIALS, show_progress=False)
    )
    file = json.loads(tokenizer.to_str())
    vocab = file["model"]["vocab"]
    vocab.update({f"<0x{byte:02X}>": len(vocab) + byte for byte in range(256)})
    return Tokenizer.from_str(json.dumps(file))


ENCODED = (
    LESSON + "\nНо 漢字 🦊: Ω = 12."
)  # characters of which the vocabularies know the bytes only


class Vocabulary(NamedTuple):
    raw: list[str]  # by id
    text: list[str]  # by id
    special: list[bool]  # by id
    ids: list[int]  # of ENCODED


@pytest.fixture(
    scope="session",
    params=[byte_level_tokenizer, sentencepiece_tokenizer],
    ids=["byte-level", "SentencePiece"],
)
def vocabulary(request):
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=request.param(), unk_token="<unk>", bos_token="<s>", eos_token="</s>"
    )
    columns = vocabulary_columns(SimpleNamespace(tokenizer=tokenizer, vocab_size=len(tokenizer)))
    raw = tokenizer.convert_ids_to_tokens(range(len(tokenizer)))
    return Vocabulary(raw, columns["token"], columns["special"], tokenizer(ENCODED)["input_ids"])


def test_the_texts_of_a_vocabulary_spell_what_was_encoded(vocabulary):
    spelled = "".join(vocabulary.text[i] for i in vocabulary.ids).encode()
    spelled = re.sub(
        rb"\\x([89a-f][0-9a-f])", lambda byte: bytes.fromhex(byte[1].decode()), spelled
    ).decode()
    assert spelled.removeprefix(" ") == ENCODED  # SentencePiece puts a space before the first word


def test_every_kind_of_token_is_found_in_an_encoded_text(vocabulary):
    kinds = categorize_all(vocabulary.text, vocabulary.special)
    found = {
        kind: {vocabulary.text[i] for i in vocabulary.ids if kinds[i] == kind}
        for kind in CATEGORIES
    }
    assert (
        any("\n" in text for text in found["whitespace"])
        and not "".join(map(text_of_piece, found["whitespace"])).strip()
    )
    assert found["digit"] and all(text.strip().isdigit() for text in found["digit"])
    assert any("$" in text for text in found["latex"]) and any(
        "So" in text for text in found["discourse"]
    )
    assert any(text.startswith("\\x") for text in found["content"]) and not found["special"]


def test_raw_strings_and_texts_of_a_vocabulary_have_the_same_category(vocabulary):
    by_raw, by_text = (
        categorize_all(column, vocabulary.special) for column in (vocabulary.raw, vocabulary.text)
    )
    rows = list(zip(vocabulary.raw, vocabulary.text, by_raw, by_text, strict=True))
    differing = [(raw, text, b) for raw, text, a, b in rows if a != b]
    # what `plain` says it cannot tell: raw strings that are good text too, and Maltese capitals
    assert all(text_of_piece(raw) == raw or text in ("Ġ", "Ċ") for raw, text, _ in differing)
    assert all(
        text.isspace() or text in ("Ġ", "Ċ") for _, text, kind in differing if kind != "content"
    )


def test_bytes_that_are_no_text_are_content_and_never_whitespace(vocabulary):
    by_raw, by_text = (
        categorize_all(column, vocabulary.special) for column in (vocabulary.raw, vocabulary.text)
    )
    partial = [i for i, text in enumerate(vocabulary.text) if "\\x" in text]
    assert len(partial) >= 128
    assert {by_text[i] for i in partial} == {"content"}
    assert "whitespace" not in {by_raw[i] for i in partial}


def test_special_tokens_of_a_vocabulary_are_special_with_a_role_or_without(vocabulary):
    kinds = categorize_all(vocabulary.text, vocabulary.special)
    assert [
        text for text, kind in zip(vocabulary.text, kinds, strict=True) if kind == "special"
    ] == SPECIALS


def test_sentences_open_at_the_same_tokens_in_raw_strings_and_texts(vocabulary):
    by_raw, by_text = (
        sentence_starts([column[i] for i in vocabulary.ids])
        for column in (vocabulary.raw, vocabulary.text)
    )
    assert np.array_equal(by_raw, by_text) and 5 < by_text.sum() < len(by_text) / 2


# A user's rules


def written(tmp_path, text: str):
    path = tmp_path / "rules.toml"
    path.write_text(text, encoding="utf-8")
    return path


FILE = """
[[rule]]
category = "name"
pattern = '\\s?(Tom|So)'
meaning = "who the task speaks of"

[[rule]]
category = "opening"
pattern = " ?[A-Z]é+"
sentence_start = true
"""


def test_a_users_rules_come_before_the_built_in_ones(tmp_path):
    rules = load_rules(written(tmp_path, FILE))
    assert [categorize(t, rules=rules) for t in (" So", "Wait", "Éé", "Zé", " 7")] == [
        "name",
        "discourse",
        "content",
        "opening",
        "digit",
    ]
    assert categorize("Zé", sentence_start=False, rules=rules) == "content"
    assert categories_of(rules) == ("name", "opening", *CATEGORIES)
    assert rules[0].meaning == "who the task speaks of" and rules[2:] == RULES


def test_without_the_built_in_rules_the_rest_is_content(tmp_path):
    rules = load_rules(written(tmp_path, "builtin = false\n" + FILE))
    assert categorize_all(["So", "$", "\n", "<s>"], [False, False, False, True], rules=rules) == [
        "name",
        "content",
        "content",
        "special",
    ]
    assert categories_of(rules) == ("name", "opening", "content", "special")


@settings(max_examples=10, deadline=None)  # each starts a process
@given(rows=st.lists(st.tuples(st.text(), st.booleans(), st.booleans()), min_size=20))
@pytest.mark.parametrize("builtin", ["true", "false"])
def test_any_text_has_a_category_under_a_users_rules(tmp_path_factory, builtin, rows):
    rules = load_rules(written(tmp_path_factory.getbasetemp(), f"builtin = {builtin}\n{FILE}"))
    assert {*categorize_all(*zip(*rows, strict=True), rules)} <= {*categories_of(rules)}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            '[[rule]]\ncategory = "a"\npattern = "\\s"',
            r"rules.toml cannot be read \(.*line 3.*\).*single quotes",
        ),
        ('[[rules]]\ncategory = "a"', r"has rules\. At its top, only \[\[rule\]\] and builtin"),
        ("builtin = 0", r"builtin is 0\..*true or false"),
        ('[rule]\ncategory = "a"\npattern = "b"', r"rule is no list of tables\..*\[\[rule\]\]"),
        ('rule = ["a"]', r"rule is no list of tables"),
        (
            '[[rule]]\ncategory = "a"\npattern = "b"\n[[rule]]\ncategory = "a"\npatern = "b"',
            r"rule 2 has patern\. Only category, pattern,",
        ),
        ('[[rule]]\ncategory = "a"', r"rule 1 has no pattern \(found: category\)"),
        ('[[rule]]\npattern = "a"', r"rule 1 has no category \(found: pattern\)"),
        (
            '[[rule]]\ncategory = 7\npattern = "a"',
            r"rule 1: category is 7\. It has to be of type str",
        ),
        (
            '[[rule]]\ncategory = "a"\npattern = "a"\nsentence_start = "yes"',
            r"sentence_start is 'yes'\. It has to be of type bool",
        ),
        ('[[rule]]\ncategory = " "\npattern = "a"', r"rule 1: category is ' '\..*Give it a name"),
        (
            '[[rule]]\ncategory = "special"\npattern = "a"',
            r"category is 'special'\..*Take another name",
        ),
        (
            '[[rule]]\ncategory = "a"\npattern = "(b"',
            r"rule 1 \(a\): pattern is '\(b'\..*missing \), unterminated subpattern.*Correct",
        ),
    ],
)
def test_a_file_of_rules_that_says_something_else_is_refused_with_the_place(
    tmp_path, text, message
):
    with pytest.raises(BadRules, match=message):
        load_rules(written(tmp_path, text))


def test_a_file_that_is_not_there_or_no_text_is_named(tmp_path):
    for path, what in ((tmp_path / "nowhere.toml", "does not exist"), (tmp_path, "is no file")):
        with pytest.raises(BadRules, match=f"{path} {what}"):
            load_rules(path)
    (tmp_path / "x.toml").write_bytes(b"\xff")
    with pytest.raises(BadRules, match="x.toml cannot be read"):
        load_rules(tmp_path / "x.toml")


# Prose: hyphens and bullets by their place, function words, marks of words


def kinds_of(tokens: list[str]) -> dict[str, str]:
    """The category of each token of one response, by its text; later ones win."""
    found = categorize_all(
        tokens, [False] * len(tokens), sentence_starts(tokens), joins=joins(tokens)
    )
    return dict(zip(tokens, found, strict=True))


@pytest.mark.parametrize(
    ("tokens", "hyphen", "category"),
    [
        (["a", " well", "-", "known", " fact"], "-", "punctuation"),
        (["an", " e", "-", "mail"], "-", "punctuation"),
        (["a", " 3", "-", "year", " plan"], "-", "punctuation"),
        (["COVID", "-", "1", "9"], "-", "punctuation"),
        (["yes", " -", " and", " no"], " -", "punctuation"),
        (["yes", " --", " and", " no"], " --", "punctuation"),
        (["x", "-", "y"], "-", "operator"),
        (["1", "2", "-", "7"], "-", "operator"),
        (["1", "2", " -", " ", "7"], " -", "operator"),
        ([" x", " -", " y"], " -", "operator"),
        (["word", " -", "5"], " -", "operator"),
        (["List", ":", "\n", "-", " apples"], "-", "markdown"),
        (["List", ".", "\n\n", " -", " apples"], " -", "markdown"),
        (["\n", "*", " apples"], "*", "markdown"),
        (["2", "*", "3"], "*", "operator"),
        (["word", "-"], "-", "operator"),  # nothing follows
        (["-", "known"], "-", "markdown"),  # a text may begin with a list
    ],
)
def test_a_hyphen_is_what_its_place_makes_it(tokens, hyphen, category):
    assert kinds_of(tokens)[hyphen] == category


def test_hyphens_of_one_text_do_not_join_to_the_next():
    texts = [["well", "-"], ["known", "-", "fact"]]
    tokens = sum(texts, [])
    names = list(dict.fromkeys(tokens))
    ids = np.array([names.index(t) for t in tokens])
    starts = np.array([True, False, True, False, False])
    found = joins_of(ids, starts, join_marks(names))
    assert found.tolist() == [False, False, False, True, False]
    assert found.tolist() == [x for text in texts for x in joins(text).tolist()]


@given(st.lists(st.sampled_from(["-", " -", "x", "xy", " xy", "7", " ", "é", "中文"]), max_size=9))
def test_a_joining_hyphen_stands_between_two_tokens_of_words(tokens):
    found = joins(tokens)
    assert found.dtype == bool and len(found) == len(tokens)
    for at in np.flatnonzero(found):
        assert tokens[at] in ("-", " -") and 0 < at < len(tokens) - 1
        assert tokens[at - 1][-1].isalnum() and tokens[at + 1].strip()[:1].isalnum()


@pytest.mark.parametrize(
    "token", [" the", "the", " of", " is", "The", " It", "n't", "'s", " and", " who", "a", " could"]
)
def test_function_words_are_a_category_of_their_own(token):
    assert categorize(token, sentence_start=False) == "function"


@pytest.mark.parametrize("token", [" so", " apples", "The Hague", " THE", "theatre", " two", "x"])
def test_other_words_are_content(token):
    assert categorize(token, sentence_start=False) == "content"


def test_words_that_turn_a_sentence_are_discourse_before_they_are_function_words():
    assert [categorize(t, sentence_start=True) for t in ("But", "If", "In", "The", "but")] == [
        "discourse",
        "discourse",
        "discourse",
        "function",
        "function",
    ]


@pytest.mark.parametrize(
    ("raw", "text", "category"),
    [
        ("So</w>", "So ", "discourse"),
        ("the</w>", "the ", "function"),
        ("apples</w>", "apples ", "content"),
        (",</w>", ", ", "punctuation"),
        ("7</w>", "7 ", "digit"),
        ("</w>", " ", "whitespace"),
        ("##ing", "ing", "content"),
        ("##7", "7", "digit"),
        ("##", "##", "markdown"),
        (".__", ".__", "punctuation"),
    ],
)
def test_marks_of_words_are_no_part_of_a_token(raw, text, category):
    assert text_of_piece(raw) == text and categorize(raw) == category


def words_of(model, pieces: list[str]) -> list[str]:
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=Tokenizer(model))
    return vocabulary_columns(SimpleNamespace(tokenizer=tokenizer, vocab_size=len(pieces)))["token"]


def test_a_vocabulary_with_marks_of_words_is_shown_without_them():
    pieces = ["so", "so</w>", "##</w>"]
    bpe = token_models.BPE(
        vocab={p: i for i, p in enumerate(pieces)}, merges=[], end_of_word_suffix="</w>"
    )
    assert words_of(bpe, pieces) == ["so", "so ", "## "]
    pieces = ["so", "##s", "##", "###", "[UNK]"]
    wordpiece = token_models.WordPiece(
        vocab={p: i for i, p in enumerate(pieces)}, unk_token="[UNK]"
    )
    assert words_of(wordpiece, pieces) == [" so", "s", " ##", "#", " [UNK]"]
