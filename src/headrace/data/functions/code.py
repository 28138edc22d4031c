"""The user's own source files: kept as text, and loaded from what was kept, in training as in serving.

Nothing is read from the project's folder once the text is there: a server runs the very code that training
ran, whatever has become of the files. Modules that a file imports from beside itself are kept with it.
"""

from __future__ import annotations

import builtins
import importlib.util
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path, PurePosixPath
from types import ModuleType
from typing import Any

from headrace.core.digest import digest
from headrace.core.errors import DataError, UserCodeError, did_you_mean
from headrace.core.function import Function

Sources = Mapping[str, str]
"""The text of each file by its path below the project's folder."""


def read_sources(root: Path, functions: Iterable[Function]) -> dict[str, str]:
    """The functions' files, and every module beside them that they import.

    Raises:
        DataError: a file can't be read, or is no UTF-8 text.
    """
    from headrace.data.sources import code_files  # what opens tables is not needed to serve

    found: dict[str, str] = {}
    for file in sorted({f.file for f in functions}):
        path = (root / file).resolve()
        if not path.is_file():
            raise DataError(f"there is no file {file}", fix="write the path from the project's folder")
        for name, source in code_files(path, root):
            try:
                found[name] = source.read_bytes().decode("utf-8")
            except (OSError, UnicodeDecodeError) as error:
                raise DataError(f"{name} can't be read: {error}", fix="make it readable UTF-8") from None
    return dict(sorted(found.items()))


class Modules:
    """The modules of one folder of sources, loaded when they are imported. `folder` is where the function's
    file lies: its imports are looked for beside it first, as Python does for a script."""

    def __init__(self, sources: Sources, folder: str) -> None:
        self._sources = sources
        self._folder = PurePosixPath(folder)
        # Classes are looked up by their module's name: a name of its own for every version of the code.
        self._package = f"headrace_python_{digest([folder, dict(sources)])[:16]}"
        self._loaded: dict[str, ModuleType] = {}

    def function(self, of: Function) -> Any:
        """What the file calls by the function's name.

        Raises:
            UserCodeError: the file raised while it was loaded.
            DataError: it has no such function.
        """
        stem = PurePosixPath(of.file).stem
        try:
            module = self._load(stem)
        except (Exception, SystemExit) as error:  # the boundary to the user's code
            line = line_of(error, of.file)
            raise UserCodeError(
                f"feature {of.name!r}: loading {of.file} raised {type(error).__name__}: {error}",
                where=f"{of.file}:{line}" if line else of.file,
                fix=f"correct {of.file}: `python {of.file}` shows the whole traceback",
            ) from error
        called = getattr(module, of.function, None)
        if not callable(called):
            names = [n for n, v in vars(module or ModuleType("")).items() if callable(v) and n[:1] != "_"]
            raise DataError(
                f"feature {of.name!r}: there is no function {of.function!r} in {of.file}",
                where=of.file,
                fix=did_you_mean(of.function, names),
            )
        return called

    def _load(self, name: str) -> ModuleType | None:
        """A module by its dotted name; None where it is none of the kept files."""
        if name in self._loaded:
            return self._loaded[name]
        base = self._folder.joinpath(*name.split("."))
        places = [(base.with_suffix(".py"), False), (base / "__init__.py", True)]
        file, package = next(((p, k) for p, k in places if str(p) in self._sources), (base, True))
        text = self._sources.get(str(file))
        if text is None and not any(PurePosixPath(s).is_relative_to(base) for s in self._sources):
            return None
        full = f"{self._package}.{name}"
        module = ModuleType(full)
        module.__file__ = str(file)
        module.__package__ = full if package else full.rpartition(".")[0]
        module.__dict__["__builtins__"] = {**vars(builtins), "__import__": self._import}
        self._loaded[name] = sys.modules[full] = module
        try:
            if text is not None:  # else a folder without __init__.py
                exec(compile(text, str(file), "exec"), module.__dict__)  # noqa: S102  # it is the user's own
        except BaseException:
            del self._loaded[name], sys.modules[full]
            raise
        return module

    def _import(
        self,
        name: str,
        names: Mapping[str, Any] | None = None,
        local: Mapping[str, Any] | None = None,
        fromlist: Sequence[str] | None = (),
        level: int = 0,
    ) -> Any:
        """`import` inside the user's modules: the kept files first, then everything else. Python calls it
        with places, not with names."""
        wanted = name
        if level and names is not None:
            full = importlib.util.resolve_name("." * level + name, names["__package__"])
            wanted = full.removeprefix(self._package).lstrip(".")
        module = self._load(wanted) if wanted else None
        if module is None:
            if level and not wanted:  # `from . import helper` beside the file itself
                found = ModuleType(self._package)
                for item in fromlist or ():
                    setattr(found, item, self._load(item))
                return found
            return builtins.__import__(name, names, local, fromlist or (), level)
        above = ""
        for part in wanted.split("."):  # parents first, each knowing its child
            child = self._load(f"{above}.{part}".lstrip("."))
            if above:
                setattr(self._loaded[above], part, child)
            above = f"{above}.{part}".lstrip(".")
        if not fromlist:
            return self._loaded[wanted.partition(".")[0]]
        for item in fromlist:
            if not hasattr(module, item):
                below = self._load(f"{wanted}.{item}")
                if below is not None:
                    setattr(module, item, below)
        return module


def line_of(error: BaseException, file: str) -> int | None:
    """The innermost line of a user's file in an error's traceback."""
    if isinstance(error, SyntaxError):
        return error.lineno
    line, traceback = None, error.__traceback__
    while traceback is not None:
        if traceback.tb_frame.f_code.co_filename == file:
            line = traceback.tb_lineno
        traceback = traceback.tb_next
    return line
