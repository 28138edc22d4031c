"""The lock as people read it: YAML with what is used first, and why the rest is not."""

from __future__ import annotations

from typing import Any

import yaml

from headrace.core.spec.lock import Lock

_HEAD = """\
# Features that headrace proposed and kept: `headrace features` lists them, `--why NAME` explains one.
# They are ordinary definitions. Change them, take some out, or copy one from `dropped` to `features`.
# What stands here is used as it stands; `headrace features propose --again` makes it anew, but for `pin`.
"""
_TITLES = {
    "pin": "These stay as they stand here when proposals are made again.",
    "features": "What a run uses.",
    "about": "What was measured: shares of the loss out of fold, with 90% intervals over whole units.",
    "dropped": "What was tried and not kept, and why.",
    "left_out": "Columns that nothing reads.",
    "made": "What the choice rests on.",
}


class _Text(yaml.SafeDumper):
    """Lists of plain values on one line."""


def _sequence(dumper: yaml.SafeDumper, data: list[Any]) -> yaml.SequenceNode:
    flat = all(not isinstance(v, dict | list) for v in data)
    return dumper.represent_sequence("tag:yaml.org,2002:seq", data, flow_style=flat)


_Text.add_representer(list, _sequence)


def lock_text(lock: Lock) -> str:
    """The lock's file; `parse_lock` reads it back."""
    plain = lock.model_dump(mode="json", exclude_defaults=True)
    parts = [_HEAD + f"headrace_features: {lock.headrace_features}"]
    plain.setdefault("features", {})
    for key, title in _TITLES.items():
        if key in plain:
            body = yaml.dump(
                {key: plain[key]}, Dumper=_Text, sort_keys=False, allow_unicode=True, width=10**6
            )
            parts.append(f"# {title}\n{body.rstrip()}")
    return "\n\n".join(parts) + "\n"
