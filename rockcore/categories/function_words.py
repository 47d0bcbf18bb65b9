"""The words of English that hold a sentence together and name nothing: a closed list.

Determiners, pronouns, prepositions, conjunctions, auxiliaries, the negation and the particle *to*:
the closed classes of Quirk, Greenbaum, Leech and Svartvik, A Comprehensive Grammar of the English
Language (1985), section 2.39, in their one-word forms and with contracted endings as tokenizers cut
them. Left out are *so* and the other words that open a step of reasoning, numerals, and forms that
are rarer than once in a hundred thousand words.
"""

FUNCTION_WORDS = frozenset(
    # determiners
    "a an the this that these those some any no every each either neither both all half such "
    "another other enough several many much more most few fewer less least "
    # pronouns, also possessive, reflexive, relative and interrogative
    "i me my mine myself we us our ours ourselves you your yours yourself yourselves he him his "
    "himself she her hers herself it its itself they them their theirs themselves "
    "who whom whose which what whoever whatever whichever somebody someone something anybody "
    "anyone anything nobody nothing everybody everyone everything none there "
    # prepositions
    "about above across after against along among around as at before behind below beneath beside "
    "besides between beyond by despite down during except for from in inside into like near of off "
    "on onto out outside over past per since through throughout till to toward towards under until "
    "up upon via with within without than "
    # conjunctions
    "and but or nor if because although though unless while whereas whether when where why how "
    # auxiliaries, the negation
    "be am is are was were been being have has had having do does did doing done will would shall "
    "should can could may might must ought cannot not n't 's 're 've 'll 'd 'm".split()
)
