#!/usr/bin/env python3
"""Stands for a peer's Python: answers the line protocol without training, and misbehaves in a way
of its own for each of PyTorch's settings."""
import json
import sys

BEHAVIOURS = {"eager-foreach": "missing", "eager-fused": "lies", "compile-fused": "crashes"}
behaviour = BEHAVIOURS[sys.argv[3]]
if behaviour == "missing":
    print(json.dumps({"missing": "No module named 'peer'"}), flush=True)
    sys.exit()
print(json.dumps({"ready": True, "versions": {"peer": "1"}, "setting": "a peer that lies"}),
      flush=True)
for line in sys.stdin:
    request = json.loads(line)
    if request["do"] == "losses":
        print(json.dumps({"losses": [1.0] * request["steps"]}), flush=True)
    elif behaviour == "crashes":
        sys.exit("the peer's last words")
    else:
        print(json.dumps({"ms": 1.0, "steps": request["steps"]}), flush=True)
