"""Encodes a text with the tokenizers library: tokenizer_reference.py FOLDER TEXT. Prints MB/s of
CPU time on one core, the best of five."""

import os
import sys
import time

os.environ["TOKENIZERS_PARALLELISM"] = "false"
os.environ["RAYON_NUM_THREADS"] = "1"

from tokenizers import Tokenizer  # noqa: E402

reference = Tokenizer.from_file(sys.argv[1] + "/tokenizer.json")
text = open(sys.argv[2], encoding="utf-8", newline="").read()
size = len(text.encode())
best = 0.0
for _ in range(5):
    start = time.process_time()
    n = len(reference.encode(text, add_special_tokens=False).ids)
    best = max(best, size / 1e6 / (time.process_time() - start))
print(f"{best:.2f} MB/s, {n} tokens")
