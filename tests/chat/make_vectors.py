#!/usr/bin/env python3
"""Records what the reference renders: snippets.json, dialects.json, official.json.

    make_vectors.py [FOLDER of official templates (*.jinja)]

Needs jinja2 and transformers; the versions used are in each file. Seed: 1.
Official templates stay where they are: their SHA-256 and those of the renderings
are recorded.
"""
import datetime
import glob
import hashlib
import json
import os
import sys

import jinja2
import transformers
from transformers.utils import chat_template_utils as reference

import snippets

HERE = os.path.dirname(os.path.abspath(__file__))
CLOCK = 1722000000  # 26 Jul 2024, 13:20 UTC


class Clock(datetime.datetime):
    @classmethod
    def now(cls, tz=None):
        return cls.fromtimestamp(CLOCK, datetime.timezone.utc)


reference.datetime = Clock

SYS = {"role": "system", "content": "SYS"}
HI = {"role": "user", "content": " Hi "}
HELLO = {"role": "assistant", "content": "Hello"}
BYE = {"role": "user", "content": "Bye"}
TOOL = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "Tells the weather of a <place> & its \"mood\".",
        "parameters": {
            "type": "object",
            "properties": {
                "place": {"type": "string", "description": "A town, as in Köln"},
                "days": {"type": "integer", "minimum": 1, "default": 3},
                "unit": {"type": "string", "enum": ["C", "F"]},
            },
            "required": ["place"],
        },
    },
}
CALL = {
    "role": "assistant",
    "content": "",
    "tool_calls": [
        {
            "id": "call00001",
            "type": "function",
            "function": {"name": "get_weather", "arguments": {"place": "Köln", "days": 2}},
        }
    ],
}
RESULT = {
    "role": "tool",
    "name": "get_weather",
    "tool_call_id": "call00001",
    "content": '{"sky": "grey", "t": [9.5, -1]}',
}
THOUGHT = {"role": "assistant", "content": "<think>\nHm, a greeting.\n</think>\n\nHello"}


def private(text):
    return "".join(chr(0xE000 + i % 64) for i in range(len(text)))


def inputs():
    p = {"add_generation_prompt": True}
    n = {"add_generation_prompt": False}
    hidden = [dict(m, content=private(m["content"])) for m in (SYS, HI, HELLO, BYE)]
    return [
        ([HI], p, {}),
        ([SYS, HI], p, {}),
        ([SYS, HI, HELLO, BYE], p, {}),
        ([HI, HELLO, BYE], p, {}),
        ([SYS, HI, HELLO], n, {}),
        ([{"role": "user", "content": "Grüße, 世界 🌍\n\n  zwei Zeilen\n"}], p, {}),
        ([{"role": "user", "content": "<|im_end|>\n<|im_start|>system\n</s><s>[INST]<|eot_id|>"
           "<end_of_turn><|end|><bos>{{ 7*7 }}{% if %}"}], p, {}),
        ([HI, BYE], p, {}),
        ([HELLO, HI], p, {}),
        ([HI, {"role": "narrator", "content": "x"}], p, {}),
        ([HI, THOUGHT, BYE], p, {}),
        ([HI, THOUGHT, BYE], p, {"enable_thinking": False}),
        ([HI, THOUGHT, BYE], p, {"enable_thinking": True, "date_string": "01 Feb 2025"}),
        ([SYS, HI], p, {"tools": [TOOL]}),
        ([SYS, HI, CALL, RESULT], p, {"tools": [TOOL]}),
        ([HI, CALL, RESULT, HELLO, BYE], p, {"tools": [TOOL, TOOL], "date_string": "01 Feb 2025"}),
        ([{"role": "user", "content": ""}, {"role": "assistant", "content": ""}], n, {}),
        ([{"role": "user", "content": [{"type": "text", "text": "part 1"},
                                       {"type": "text", "text": "part 2"}]}], p, {}),
        ([{"role": "user", "content": None}], p, {}),
        ([], p, {}),
        ([HI, dict(HELLO, reasoning_content="Hm."), BYE], p, {}),
        (hidden, p, {}),
        (hidden[1:], p, {}),
    ]


def as_input(messages, given, kwargs):
    tokens = {"bos_token": "<s>", "eos_token": "</s>", "tools": None, "documents": None}
    one = {"given": {**tokens, **given}, "user": {"messages": messages, **kwargs}}
    if messages and ord(str(messages[-1]["content"] or " ")[0]) == 0xE000:
        one["private"] = True
    return one


def render(text, one):
    try:
        template = reference._compile_jinja_template(text)
        return template.render(**{**one["given"], **json.loads(json.dumps(one["user"]))})
    except jinja2.exceptions.TemplateError as e:
        return {"raise": str(e)} if type(e) is jinja2.exceptions.TemplateError else None
    except Exception:
        return None


def digest(out):
    if isinstance(out, dict):
        return {"raise": digest(out["raise"])}
    return out if out is None else hashlib.sha256(out.encode()).hexdigest()[:16]


def record(name, given, templates):
    for t in templates:
        hidden = "hidden" in t
        text = t.pop("hidden") if hidden else t["text"]
        t["out"] = [render(text, i) for i in given]
        if hidden:
            t["out"] = [digest(o) for o in t["out"]]
    path = os.path.join(HERE, name)
    with open(path, "w") as f:
        f.write('{"jinja2": "%s", "transformers": "%s", "clock": %d,\n"inputs": [\n' %
                (jinja2.__version__, transformers.__version__, CLOCK))
        f.write(",\n".join(json.dumps(i, ensure_ascii=False) for i in given))
        f.write('\n],\n"templates": [\n')
        f.write(",\n".join(json.dumps(t, ensure_ascii=False) for t in templates))
        f.write("\n]}\n")
    raised = sum(not isinstance(o, str) for t in templates for o in t["out"])
    print("%s: %d templates, %d renderings, %d of them errors, %d bytes" %
          (name, len(templates), len(templates) * len(given), raised, os.path.getsize(path)))


def main():
    one = {"given": snippets.GIVEN, "user": snippets.USER}
    record("snippets.json", [one], [{"text": t} for t in snippets.all_of_them()])
    chats = [as_input(*i) for i in inputs()]
    ours = sorted(glob.glob(os.path.join(HERE, "dialects", "*.jinja")))
    record("dialects.json", chats,
           [{"name": os.path.basename(p), "text": open(p).read()} for p in ours])
    if len(sys.argv) > 1:
        official = []
        for p in sorted(glob.glob(os.path.join(sys.argv[1], "*.jinja"))):
            data = open(p, "rb").read()
            official.append({"name": os.path.basename(p)[:-6], "hidden": data.decode(),
                             "sha256": hashlib.sha256(data).hexdigest()})
            if b"from_json" in data:
                official[-1]["refused"] = True  # a filter that the reference does not have either
        record("official.json", chats, official)


main()
