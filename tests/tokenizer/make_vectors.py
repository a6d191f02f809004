#!/usr/bin/env python3
"""Trains small tokenizers with the pipelines of the large families and records what they say.

make_vectors.py OUT     writes OUT/FAMILY/tokenizer.json and OUT/FAMILY/vectors.jsonl

Made with tokenizers 0.23.3 (Python 3.11), seed 5. A line of vectors.jsonl is one text:
{"text", "ids": with what the post-processor adds, "bare": without, "all": bare decoded with
special tokens, "plain": bare decoded without}; "ids" is left out where it is "bare" with the same
ids in front as in the first line, "all" where it is the text, "plain" where it is "all".
A line {"ids", "all", "plain"} is a decoding alone. "all" is null where an added token has another
form when normalized: this version of the library decodes it to that form and does not know it as
special then.
"""

import json
import os
import random
import sys

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

import strings

SEED = 5
TEXTS = 225

LLAMA3 = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
QWEN = LLAMA3.replace(r"\p{N}{1,3}", r"\p{N}")
TEKKEN = (
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+"
    r"|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*"
    r"|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)


def corpus(rng):
    """Words, code, numbers and other scripts, made from the lists in strings.py."""
    for _ in range(600):
        yield strings.words(rng, 30)
    for text in strings.FIXED:
        yield from [text] * 3
    for _ in range(600):
        yield strings.text(rng, [])


def special(text, **flags):
    return AddedToken(text, normalized=flags.pop("normalized", False), special=True, **flags)


def plain(text, **flags):
    return AddedToken(text, normalized=flags.pop("normalized", False), special=False, **flags)


def front(t, *tokens):
    """TemplateProcessing that puts these in front."""
    names = " ".join(tokens)
    return processors.TemplateProcessing(
        single=f"{names} $A", pair=f"{names} $A {names} $B:1", special_tokens=[(x, t.token_to_id(x)) for x in tokens]
    )


def byte_level(rng, size, pattern, added, normalizer=None, ignore_merges=False, first=()):
    t = Tokenizer(models.BPE(ignore_merges=ignore_merges))
    if normalizer:
        t.normalizer = normalizer
    t.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Split(Regex(pattern), "isolated"), pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)]
        if pattern
        else [pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    trainer = trainers.BpeTrainer(
        vocab_size=size, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), special_tokens=list(first), show_progress=False
    )
    t.train_from_iterator(corpus(rng), trainer)
    t.decoder = decoders.ByteLevel()
    t.add_special_tokens([a for a in added if a.special])
    t.add_tokens([a for a in added if not a.special])
    return t


SIGNS = "\u2581 .,!?'\n-" + "".join(chr(c) for c in range(0x30, 0x7b) if chr(c).isalnum()) + "\u00e9\u4f60\u597d\u0438\u0440"


def sentence_like(rng, size, added, specials=("<unk>", "<s>", "</s>"), runs=()):
    """A vocabulary as sentencepiece's: control tokens, bytes, pieces that begin with the space."""
    t = Tokenizer(models.BPE())
    t.normalizer = normalizers.Replace(" ", "\u2581")
    t.pre_tokenizer = pre_tokenizers.Metaspace(replacement="\u2581", prepend_scheme="always", split=True)
    trainer = trainers.BpeTrainer(vocab_size=size, limit_alphabet=len(SIGNS), initial_alphabet=list(SIGNS), show_progress=False)
    t.train_from_iterator((strings.words(rng, 30) for _ in range(400)), trainer)
    model = json.loads(t.to_str())["model"]
    names = list(specials) + [f"<0x{i:02X}>" for i in range(256)]
    names += [x for x in sorted(model["vocab"], key=model["vocab"].get) if x not in names]
    merges = [tuple(m) for m in model["merges"]]
    for run in runs:  # tokens of runs, made of shorter runs
        for n in range(2, run[1] + 1):
            names.append(run[0] * n)
            merges += [(run[0] * k, run[0] * (n - k)) for k in range(1, n)]
    vocab = {x: i for i, x in enumerate(dict.fromkeys(names))}
    t = Tokenizer(models.BPE(vocab, merges, unk_token="<unk>", fuse_unk=True, byte_fallback=True))
    t.add_special_tokens([special(x) for x in specials])
    t.add_special_tokens([a for a in added if a.special])
    t.add_tokens([a for a in added if not a.special])
    return t


def joined(*last):
    return decoders.Sequence([decoders.Replace("\u2581", " "), decoders.ByteFallback(), decoders.Fuse(), *last])


LEGACY = normalizers.Sequence([normalizers.Prepend("\u2581"), normalizers.Replace(" ", "\u2581")])
CHAT = ["<|begin|>", "<|end|>", "<|head|>", "<|/head|>", "<|turn|>"]


def llama3(rng):
    t = byte_level(rng, 900, LLAMA3, [special(x) for x in CHAT], ignore_merges=True)
    t.post_processor = processors.Sequence([processors.ByteLevel(trim_offsets=True), front(t, "<|begin|>")])
    return t


def llama3_first(rng):
    """As the first files of that family: no BOS, merges not ignored."""
    t = byte_level(rng, 700, LLAMA3, [special(x) for x in CHAT])
    t.post_processor = processors.ByteLevel(trim_offsets=True)
    return t


def qwen(rng):
    tokens = [special("<|im_start|>"), special("<|im_end|>"), special("<|endoftext|>"), plain("<tool>"), plain("</tool>"), plain("<think>")]
    t = byte_level(rng, 900, QWEN, tokens, normalizer=normalizers.NFC())
    t.post_processor = processors.ByteLevel(trim_offsets=False)
    return t


def nemo(rng):
    names = ["<unk>", "<s>", "</s>", "[INST]", "[/INST]"]
    t = byte_level(rng, 900, TEKKEN, [special(x) for x in names], ignore_merges=True, first=names)
    t.post_processor = front(t, "<s>")
    return t


def gpt2(rng):
    t = byte_level(rng, 600, None, [special("<|endoftext|>")])
    t.post_processor = processors.ByteLevel(trim_offsets=True)
    return t


def llama2(rng):
    t = sentence_like(rng, 500, [], runs=[("\u2581", 8)])
    t.normalizer = LEGACY
    t.post_processor = front(t, "<s>")
    t.decoder = joined(decoders.Strip(" ", 1, 0))
    return t


def llama2_normalized(rng):
    """As the first files: control tokens are searched for in normalized text."""
    t = sentence_like(rng, 500, [], specials=("<unk>",))
    t.normalizer = LEGACY
    t.add_special_tokens([special("<s>", normalized=True), special("</s>", normalized=True)])
    t.post_processor = front(t, "<s>")
    t.decoder = joined(decoders.Strip(" ", 1, 0))
    return t


def mistral(rng):
    t = sentence_like(rng, 500, [special("[INST]"), special("[/INST]")], runs=[("\u2581", 6)])
    t.pre_tokenizer = pre_tokenizers.Metaspace(replacement="\u2581", prepend_scheme="first", split=False)
    t.post_processor = front(t, "<s>")
    t.decoder = joined(decoders.Strip(" ", 1, 0))
    return t


def gemma(rng):
    lines = [plain("\n" * n) for n in range(2, 8)] + [plain("\u2581" * n) for n in range(2, 6)] + [plain("<b>"), plain("</b>")]
    turns = [special("<start_of_turn>"), special("<end_of_turn>")]
    t = sentence_like(rng, 500, turns + lines, specials=("<pad>", "<eos>", "<bos>", "<unk>"), runs=[("\n", 7), ("\u2581", 5)])
    t.normalizer = normalizers.Replace(" ", "\u2581")
    t.pre_tokenizer = pre_tokenizers.Split(" ", "merged_with_previous")
    t.post_processor = front(t, "<bos>")
    t.decoder = joined()
    return t


def phi3(rng):
    tokens = [special("<|endoftext|>")] + [special(x, rstrip=True) for x in ["<|user|>", "<|assistant|>", "<|end|>", "<|system|>"]]
    t = sentence_like(rng, 500, tokens)
    t.normalizer = LEGACY
    t.post_processor = front(t, "<s>")
    t.decoder = joined(decoders.Strip(" ", 1, 0))
    return t


def flags(rng):
    """Every flag of an added token, and the steps that no family above has."""
    tokens = [
        special("<both>", lstrip=True, rstrip=True), special("<left>", lstrip=True), plain("word", single_word=True, normalized=True),
        plain("<right>", rstrip=True), plain("caf\u00e9", normalized=True), plain("<one>", single_word=True), plain(" ", rstrip=False), plain("<a><b>"), plain("<a>"),
    ]
    t = byte_level(rng, 420, QWEN, tokens, normalizer=normalizers.Sequence([normalizers.NFKC(), normalizers.Replace("~~", "-")]))
    t.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.Split("-", "removed"), pre_tokenizers.Split(Regex("[ab]+"), "merged_with_next"),
            pre_tokenizers.Split(Regex(r"[^\s]+"), "merged_with_previous", invert=True), pre_tokenizers.ByteLevel(add_prefix_space=True, use_regex=True),
        ]
    )
    return t


def unknown(rng):
    """No byte tokens: what has no symbol is <unk>, neighbours apart; Metaspace at both ends."""
    vocab = {"<unk>": 0, "\u2581": 1, "a": 2, "b": 3, "ab": 4, "\u2581a": 5, "\u2581ab": 6, "<0x41>": 7}
    t = Tokenizer(models.BPE(vocab, [("\u2581", "a"), ("a", "b"), ("\u2581a", "b"), ("\u2581", "ab")], unk_token="<unk>", byte_fallback=True))
    t.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Metaspace(replacement="\u2581", prepend_scheme="always", split=True),
                                               pre_tokenizers.Digits(individual_digits=False)])
    t.decoder = decoders.Metaspace(replacement="\u2581", prepend_scheme="always", split=True)
    t.add_special_tokens([special("<s>")])
    return t


FAMILIES = [llama3, llama3_first, qwen, nemo, gpt2, llama2, llama2_normalized, mistral, gemma, phi3, flags, unknown]


def renamed(t, i):
    token = t.get_added_tokens_decoder().get(i)
    return token is not None and token.content != t.id_to_token(i)


def record(t, text, before):
    ids = t.encode(text).ids
    bare = t.encode(text, add_special_tokens=False).ids
    everything = t.decode(bare, skip_special_tokens=False)
    without = t.decode(bare, skip_special_tokens=True)
    line = {"text": text, "ids": ids, "bare": bare, "all": everything, "plain": without}
    if ids == before + bare:
        del line["ids"]
    if any(renamed(t, i) for i in bare):
        return {**line, "all": None}
    if everything == text:
        del line["all"]
    if without == everything:
        del line["plain"]
    return line


def decoding(t, rng):
    """Ids that no text gives: cut characters, bytes in any order."""
    ids = [rng.randrange(t.get_vocab_size()) if rng.random() < 0.4 else rng.randrange(min(270, t.get_vocab_size())) for _ in range(rng.randint(1, 12))]
    ids = [i for i in ids if not renamed(t, i)]
    return {"ids": ids, "all": t.decode(ids, skip_special_tokens=False), "plain": t.decode(ids, skip_special_tokens=True)}


def write(folder, make):
    rng = random.Random(SEED)
    t = make(rng)
    os.makedirs(folder, exist_ok=True)
    with open(f"{folder}/tokenizer.json", "w") as f:
        json.dump(json.loads(t.to_str()), f, ensure_ascii=False, separators=(",", ":"))
        f.write("\n")
    added = [x.content for x in t.get_added_tokens_decoder().values()]
    texts = list(dict.fromkeys(strings.texts(SEED, TEXTS, added)))
    before = t.encode("").ids
    with open(f"{folder}/vectors.jsonl", "w") as f:
        lines = [{"text": "", "ids": before, "bare": []}] + [record(t, x, before) for x in texts if x] + [decoding(t, rng) for _ in range(60)]
        for line in lines:
            f.write(json.dumps(line, ensure_ascii=True, separators=(",", ":")) + "\n")
    sizes = [os.path.getsize(f"{folder}/{x}") for x in ("tokenizer.json", "vectors.jsonl")]
    print(folder, t.get_vocab_size(), "tokens", len(lines), "lines", sizes)


if __name__ == "__main__":
    for family in FAMILIES:
        write(f"{sys.argv[1]}/{family.__name__}", family)
