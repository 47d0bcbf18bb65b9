"""Signs that stand for what cannot be seen, kinds of tokens, and scenarios."""

from __future__ import annotations

from rockcore.glossary.term import Term

SIGNS: dict[str, Term] = {
    "space": Term(
        "space",
        "␣",
        "A space, made visible. “␣Wait” and “Wait” are two types: the first stands within a line, "
        "the second begins one.",
    ),
    "line_break": Term("line break", "⏎", "A line break, made visible."),
    "tab": Term("tab", "⇥", "A tab, made visible."),
    "sum": Term("sum", "Σ", "All of them added up."),
    "id": Term("token id", "id", "The number of a type in the vocabulary.", also=("token_id",)),
    "category": Term(
        "category",
        "",
        "What kind of token it is, by rules over its text and its place in the sentence.",
        paper="Appendix B looks through the top 100 by hand.",
        also=("categories",),
    ),
    "discourse": Term(
        "discourse", "", "Words that open or turn a step of reasoning: So, Wait, Then."
    ),
    "latex": Term("latex", "", "LaTeX: delimiters, commands, braces."),
    "markdown": Term("markdown", "", "Bold, headings, rules, code, bullets."),
    "whitespace": Term("whitespace", "", "Line breaks, blank lines and spaces."),
    "digit": Term("digit", "", "Digits and numbers."),
    "operator": Term("operator", "", "Arithmetic operators, relations and arrows."),
    "function": Term("function", "", "Words that hold a sentence together: the, of, is, and."),
    "punctuation": Term("punctuation", "", "Punctuation, brackets, hyphens and dashes."),
    "content": Term("content", "", "Everything else: words, names, fragments of words."),
    "special": Term("special", "", "Tokens that stand for no text, such as the end of an answer."),
    "scenario": Term(
        "scenario",
        "",
        "A reason why a token stays hard, built into the training: a habit of the student (habit), "
        "something that only the teacher sees (hidden), or a missing skill (skill).",
        also=("habit", "hidden", "skill"),
    ),
}
