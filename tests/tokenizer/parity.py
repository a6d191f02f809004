#!/usr/bin/env python3
"""Compares tok_dump with the tokenizers library on many texts.

parity.py TOK_DUMP COUNT FOLDER..     each FOLDER holds a tokenizer.json

Needs the Python package tokenizers. Prints, per folder, how many texts differ in ids (with and
without what the post-processor adds), in their decoding (with and without special tokens) and
between decoding at once and streamed, and the first differences.
"""

import subprocess
import sys

from tokenizers import Tokenizer

import strings

BATCH = 2000


def answers(tool, folder, batch):
    """What the tool says of each text: None if refused, else (ids with, ids without, 4 texts)."""
    data = b"".join(b"%d\n" % len(b) + b for b in batch)
    run = subprocess.run([tool, folder], input=data, stdout=subprocess.PIPE, check=True)
    out, at = run.stdout, 0

    def line():
        nonlocal at
        end = out.index(b"\n", at)
        found, at = out[at:end], end + 1
        return found

    def block():
        nonlocal at
        n = int(line())
        found, at = out[at:at + n], at + n + 1
        return found

    for _ in batch:
        first = line()
        if first == b"refused":
            yield None
            continue
        ids = [int(i) for i in first.split()]
        bare = [int(i) for i in line().split()]
        yield ids, bare, [block() for _ in range(4)]


def differences(reference, text, got):
    """Names of what differs. got: decoded with specials, streamed so, without, streamed so."""
    if got is None:
        return ["refused"]
    ids, bare, texts = got
    want = reference.encode(text, add_special_tokens=False).ids
    found = []
    if bare != want:
        found.append("ids")
    if ids != reference.encode(text, add_special_tokens=True).ids:
        found.append("ids with specials")
    if found:
        return found
    for i, skip in enumerate([False, True]):
        back = reference.decode(want, skip_special_tokens=skip).encode("utf-8", "surrogatepass")
        if texts[2 * i] != back:
            found.append("decode")
        if texts[2 * i + 1] != texts[2 * i]:
            found.append("stream")
    return found


def compare(tool, folder, count):
    reference = Tokenizer.from_file(folder + "/tokenizer.json")
    reference.no_padding()
    reference.no_truncation()
    added = [t.content for t in reference.get_added_tokens_decoder().values()][:40]
    all_texts = list(strings.texts(7, count, added))
    bad = shown = 0
    for i in range(0, len(all_texts), BATCH):
        batch = all_texts[i:i + BATCH]
        for text, got in zip(batch, answers(tool, folder, [t.encode() for t in batch])):
            found = differences(reference, text, got)
            if not found:
                continue
            bad += 1
            if shown < 5:
                shown += 1
                print("   ", found, repr(text)[:300])
                if got and "ids" in found:
                    print("      want", reference.encode(text, add_special_tokens=False).ids[:40])
                    print("      got ", got[1][:40])
    print(f"{folder}: {len(all_texts)} texts, {bad} differ", flush=True)
    return bad


if __name__ == "__main__":
    tool, count = sys.argv[1], int(sys.argv[2])
    sys.exit(sum(compare(tool, folder, count) for folder in sys.argv[3:]) > 0)
