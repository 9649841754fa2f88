# SPDX-License-Identifier: Apache-2.0
"""json and re on real data: the standard library's own sources, as a document of their words."""
import glob
import json
import os
import re

WORD = re.compile(r"[A-Za-z_]\w*|\d+|\"[^\"\n]*\"|'[^'\n]*'|\S")
SOURCES = []


def setup(scale):
    folder = os.path.dirname(os.__file__)
    for path in sorted(glob.glob(os.path.join(folder, "*.py")))[:30]:
        with open(path, encoding="utf-8", errors="replace") as file:
            SOURCES.append((os.path.basename(path), file.read()))


def kind(match):
    text = match.group()
    return "name" if text[0].isalpha() or text[0] == "_" else "other"


def describe(name, text):
    words = [{"at": match.start(), "text": match.group(), "kind": kind(match)}
             for match in WORD.finditer(text[:500])]
    return {"file": name, "words": words, "size": len(text)}


def as_word(data):
    return tuple(sorted(data)) if "kind" in data else data


def workload(scale):
    for _ in range(scale):
        document = [describe(name, text) for name, text in SOURCES]
        # indent takes the encoder that is written in Python
        text = json.dumps(document, indent=1)
        json.loads(text, object_hook=as_word)
        for _, source in SOURCES:
            re.sub(r"#.*", lambda match: match.group().upper(), source)
