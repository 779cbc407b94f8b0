# SPDX-License-Identifier: MIT
# Writes tests/fixtures/tiny_vocab.txt: a vocabulary in the format of the RWKV World models, with literals by Python's
# repr().
import sys

entries = [bytes([b]) if b >= 128 else chr(b) for b in range(256)]
entries += ["th", "the", "there", "her", "  ", "\n\n", "it's", 'say "', "it's \"", "\\n", "\t\r\n", "\xe9",
            "\u2028", "\U0001f600", "\u4f60\u597d", b"\xe4\xbd", b"\xf0\x9f\x98", "\x7f\x7f", "a b c", "x" * 40]
with open(sys.argv[1], "w", encoding="utf-8", newline="\n") as file:
    for i, entry in enumerate(entries):
        size = len(entry if isinstance(entry, bytes) else entry.encode("utf-8"))
        file.write(f"{i + 1} {entry!r} {size}\n")
