"""The code version of a stage: the digest of its modules' source and of all that they import."""

from __future__ import annotations

import functools
import importlib.metadata
import platform
import re
from collections.abc import Iterable
from pathlib import Path

from headrace.core.digest import digest, digest_bytes

PACKAGE = "headrace"


@functools.cache
def _root() -> Path:
    return Path(__file__).resolve().parent.parent


def _file_of(module: str) -> Path | None:
    """The source file of one of headrace's own modules, None for any other name."""
    if module != PACKAGE and not module.startswith(PACKAGE + "."):
        return None
    path = _root().joinpath(*module.split(".")[1:])
    if path.is_dir():
        return path / "__init__.py"
    file = path.with_suffix(".py")
    return file if file.is_file() else None


_IMPORT = re.compile(
    rb"^[ \t]*(?:from[ \t]+(headrace[\w.]*)[ \t]+import[ \t]+(\([^)]*\)|[^\n]*)"
    rb"|import[ \t]+(headrace[^\n]*))",
    re.MULTILINE,
)
"""An import of headrace's own modules. Read as text: parsing every module took most of a run without news."""


@functools.cache
def _read(file: Path) -> tuple[str, tuple[str, ...]]:
    """The digest of a source file, and the headrace modules that it imports, anywhere in it."""
    source = file.read_bytes()
    found: set[str] = set()
    for base, names, modules in _IMPORT.findall(source):
        if modules:
            found.update(m.split(b" as ")[0].strip().decode() for m in modules.split(b"#")[0].split(b","))
        else:
            listed = re.sub(rb"#[^\n]*", b"", names).strip(b"() \n").split(b",")
            found.add(base.decode())
            found.update(f"{base.decode()}.{n.split()[0].decode()}" for n in listed if n.strip())
    return digest_bytes(source), tuple(sorted(m for m in found if _file_of(m) is not None))


@functools.cache
def code_digest(modules: tuple[str, ...]) -> str:
    """The digest of these modules' sources and of every headrace module that they import, near or far.

    A changed helper changes it; a changed room that none of them imports does not.

    Raises:
        ValueError: a name is none of headrace's modules.
    """
    return digest(module_digests(modules))


def module_digests(modules: tuple[str, ...]) -> dict[str, str]:
    """The digest of each of these modules' sources, and of every headrace module that they import.

    Raises:
        ValueError: a name is none of headrace's modules.
    """
    digests: dict[str, str] = {}
    waiting = list(modules)
    for module in modules:
        if _file_of(module) is None:
            raise ValueError(f"{module!r} is no module of {PACKAGE}")
    while waiting:
        module = waiting.pop()
        file = _file_of(module)
        if file is None or module in digests:
            continue
        digests[module], imported = _read(file)
        waiting.extend(imported)
    return digests


@functools.cache
def library_versions(names: tuple[str, ...]) -> dict[str, str]:
    """Python's and these distributions' versions; a distribution that is absent is `absent`."""
    versions = {"python": platform.python_version(), "machine": platform.machine()}
    for name in names:
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            versions[name] = "absent"
    return versions


def user_modules(root: Path, names: Iterable[str]) -> dict[str, str]:
    """Digests of the project's own Python files behind `module:Class` names; other modules are left to
    their distribution's version."""
    files = {n: root.joinpath(*n.partition(":")[0].split(".")).with_suffix(".py") for n in names if ":" in n}
    return {n: digest_bytes(f.read_bytes()) for n, f in files.items() if f.is_file()}
