"""headrace's own wheel, made of its installed files: without a network, a build, or a clone.

https://packaging.python.org/en/latest/specifications/binary-distribution-format/
"""

from __future__ import annotations

import base64
import hashlib
import io
import zipfile
from collections.abc import Mapping
from pathlib import Path

_WHEEL = "Wheel-Version: 1.0\nGenerator: headrace\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
_DATE = (1980, 1, 1, 0, 0, 0)
"""The same files give the same bytes."""


def wheel(package: Path, version: str, metadata: str) -> tuple[str, bytes]:
    """The wheel's name and bytes. package: the installed package's folder; metadata: its METADATA."""
    name = package.name
    info = f"{name}-{version}.dist-info"
    files = {f"{name}/{p.relative_to(package).as_posix()}": p.read_bytes() for p in _sources(package)}
    files[f"{info}/METADATA"] = metadata.encode()
    files[f"{info}/WHEEL"] = _WHEEL.encode()
    files[f"{info}/entry_points.txt"] = f"[console_scripts]\n{name} = {name}.cli:main\n".encode()
    files[f"{info}/RECORD"] = _record(files, f"{info}/RECORD")
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as archive:
        for path, data in files.items():
            entry = zipfile.ZipInfo(path, _DATE)
            entry.external_attr = 0o644 << 16
            entry.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(entry, data)
    return f"{name}-{version}-py3-none-any.whl", made.getvalue()


def _sources(package: Path) -> list[Path]:
    """What was installed: neither what Python compiled nor what tools keep for themselves."""
    found = (p for p in package.rglob("*") if p.is_file())
    inside = {p: p.relative_to(package).parts for p in found}
    return sorted(
        p for p, parts in inside.items() if not any(x == "__pycache__" or x[0] == "." for x in parts)
    )


def _record(files: Mapping[str, bytes], own: str) -> bytes:
    lines = [f"{path},sha256={_hash(data)},{len(data)}" for path, data in files.items()]
    return "\n".join([*lines, f"{own},,", ""]).encode()


def _hash(data: bytes) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
