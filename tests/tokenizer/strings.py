"""Hard texts for tokenizers: fixed ones, and random ones from a seed."""

import random

FIXED = [
    "", " ", "  ", "   ", "\n", "\n\n", "\t", "\r\n", "\r\n\r\n \r\n", " \n ", "\n \n\t\n", "a", " a", "a ", "  a  b   c    ",
    "Hello, world!", "The quick brown fox jumps over the lazy dog.", "it's we'll I'M You'Re he'D they've 'S 'Ll 'tis",
    "'\u017f x'\u017f I'\u017fll", "\u180e", "a\u180eb \u180e\u180e c", "\ufeff", "\ufeffBOM first", "x\ufeffy", "\0", "a\0b\0\0c", " \0 ",
    "1", "12", "123", "1234", "12345", "123456789", "1234567890123", "3.14159 1,000,000 1e-5 0x1F \u00bd \u00b2 \u0967\u0968\u0969 \u2167",
    "\u1e9e Stra\u00dfe \u0130 \u0131 \ufb01 \ufb06 '\ufb06", "e\u0301 \u00e9 A\u030a \u00c5 \u212b \u1e0b\u0323 d\u0323\u0307 q\u0307\u0323",
    "\u1100\u1161\u11a8 \uac01 \uac00\u11a8", "\U0001f468\u200d\U0001f469\u200d\U0001f467\u200d\U0001f466 \U0001f44d\U0001f3fd \u2764\ufe0f \U0001f1e9\U0001f1ea",
    "\u1780\u17d2\u1798\u17c2\u179a \u1797\u17b6\u179f\u17b6\u1781\u17d2\u1798\u17c2\u179a", "\u6c49\u5b57 \u4f60\u597d\uff0c\u4e16\u754c\u3002 \u3042\u3044\u3046\u30ab\u30ca \ud55c\uad6d\uc5b4",
    "\u0645\u0631\u062d\u0628\u0627 \u05e9\u05dc\u05d5\u05dd \u0928\u092e\u0938\u094d\u0924\u0947 \u0e2a\u0e27\u0e31\u0e2a\u0e14\u0e35", "\u041f\u0440\u0438\u0432\u0435\u0442, \u043c\u0438\u0440!",
    "def f(x):\n    return x ** 2  # \u00b5\n\n\n\tif (a&&b||c) { x->y; }\r\n", "https://example.org/a?b=c&d=%20#e", "<html><body>&amp;</body></html>",
    "\u00a0nbsp\u00a0 \u2003em\u3000ideographic \u200b\u200c\u200d\u2060 \u2028\u2029\u0085", "____----====....!!!!????", "()[]{}<>\"'`~@#$%^&*-+=|\\/:;,.",
    "\u2581", "\u2581\u2581", "\u2581a \u2581b", " \u2581 ", "a\u2581b", "<0x41>", "<0xE2><0x96><0x81>", "<0x0A>\n", "<unk>", "<s>", "</s>", " <s> ", "<s>a</s>b",
    "\U0010ffff", "\u0378\ue000\ufdd0\uffff", "\U0001d400\U0001d7ce", "\u0301\u0301", "\u0315\u0300\u05ae\u0300\u0315",
    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
    "\n" * 40, " " * 130, "\t" * 33 + "x", "ab" * 200, "\u00e9" * 90, "\u4e00" * 70, "\U0001f600" * 50, "1" * 100, "." * 300, "\r\n" * 30, "a " * 120,
]

WORDS = (
    "the of and to in that it is was for on with he as you do at this but his by from they we say her she or an will my one all would "
    "there their what so up out if about who get which go me when make can like time no just him know take people into year your good "
    "some could them see other than then now look only come its over think also back after use two how our work first well way even new "
    "want because any these give day most us model token memory window attention prompt context language machine number layer weight"
).split()

# Blocks that were in Unicode long ago: the libraries' tables are of different years.
RANGES = [
    (0x20, 0x7e), (0x20, 0x7e), (0x20, 0x7e), (0x30, 0x39), (0x09, 0x0d), (0xa0, 0x17f), (0x300, 0x36f), (0x370, 0x5ff), (0x600, 0x6ff),
    (0x900, 0x97f), (0xe00, 0xe7f), (0x1100, 0x11ff), (0x1780, 0x17ff), (0x1e00, 0x1fff), (0x2000, 0x206f), (0x2070, 0x218f), (0x2190, 0x2bff),
    (0x3000, 0x30ff), (0x4e00, 0x9fa5), (0xac00, 0xd7a3), (0xf900, 0xfaff), (0xfb00, 0xfdff), (0xfe00, 0xffef), (0x10000, 0x1047f),
    (0x1d400, 0x1d7ff), (0x1f300, 0x1f6ff), (0x1f900, 0x1f9ff), (0x20000, 0x2a6d6), (0xe0100, 0xe01ef),
]
PARTS = ["'s", "'S", "'ll", "'\u017f", "\r\n", "\n\n", "  ", "   ", "\u180e", "\u200d", "\ufeff", "\0", "\u0301", "\u2581", "\u2581\u2581", "<0x0A>",
         "12", "123", "1234", "\u00bd", "\u00a0", "\u3000", "\u2028", "\u0085", "_", "/", "\t"]


def char(rng):
    low, high = rng.choice(RANGES)
    return chr(rng.randint(low, high))


def words(rng, n):
    out = []
    for _ in range(n):
        word = rng.choice(WORDS)
        kind = rng.random()
        word = word.capitalize() if kind < 0.1 else word.upper() if kind < 0.12 else word
        out.append(word + rng.choice(["", "", "", "", "", "", ",", ".", "!", ":", ";", "?", "'s", "\n", ".\n\n", " "]))
    return " ".join(out)


def text(rng, added):
    """A random text; added tokens in it are glued to what stands beside them."""
    kind = rng.random()
    if kind < 0.15:
        return words(rng, rng.randint(1, 40))
    if kind < 0.22:
        return rng.choice([char(rng), rng.choice(PARTS), rng.choice(WORDS)]) * rng.randint(1, 120)
    if kind < 0.3:
        return "".join(chr(rng.randint(0, 127)) for _ in range(rng.randint(1, 60)))
    if kind < 0.4:
        return "".join(rng.choice(" \t\n\r\u00a0\u2003ab1.'") for _ in range(rng.randint(1, 30)))
    out = []
    for _ in range(rng.randint(1, 20)):
        what = rng.random()
        if what < 0.35:
            out.append("".join(char(rng) for _ in range(rng.randint(1, 4))))
        elif what < 0.6:
            out.append(rng.choice(WORDS))
        elif what < 0.8:
            out.append(rng.choice(PARTS))
        elif what < 0.9 and added:
            token = rng.choice(added)
            out.append(token if rng.random() < 0.7 else token[: rng.randint(1, len(token))])
        else:
            out.append(rng.choice([" ", " ", "\n", ". "]))
    return "".join(out)


def texts(seed, n, added):
    """The fixed texts, some with every added token, then n random ones."""
    rng = random.Random(seed)
    yield from FIXED
    for token in added:
        for pattern in ["{}", "a{}b", " {} ", "  {}\n\n {}", "{}{}", "x {}y", "\n{}\t"]:
            yield pattern.replace("{}", token)
    for _ in range(n):
        yield text(rng, added)
