#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""A reward for: eggroll finetune MODEL --task jsonl --data prompts.jsonl --reward 'python3 examples/reward.py'

Every line of standard input is {"id", "prompt", "completion", "row"}, "row" being the line of the data; the reply is one
line {"id", "reward"}, at once, before the next line is read. Here: the share of the completion's characters that are vowels.
"""
import json
import sys

for line in sys.stdin:
    request = json.loads(line)
    text = request["completion"]
    vowels = sum(c in "aeiouAEIOU" for c in text)
    print(json.dumps({"id": request["id"], "reward": vowels / len(text) if text else 0}), flush=True)
