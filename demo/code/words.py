"""Counts the words of a text: words.py TEXT TABLE"""

import re
import sys
from collections import Counter
from pathlib import Path

text, table = map(Path, sys.argv[1:])
words = Counter(re.findall(r"[a-z]{4,}", text.read_text().lower()))
table.parent.mkdir(exist_ok=True)
table.write_text("".join(f"{word}\t{count}\n" for word, count in words.most_common(100)))
print(f"{text}: {words.total()} words, {len(words)} different ones")
