"""`headrace init`: a first spec, from an example or from a file of data."""

from __future__ import annotations

from pathlib import Path

from headrace.core.errors import UserError

__all__ = ["start"]


def start(
    folder: Path,
    *,
    example: str | None = None,
    data: Path | None = None,
    from_file: Path | None = None,
    target: str | None = None,
) -> tuple[Path, ...]:
    """Write a new project into `folder`: an example, or a draft from a file and the column to predict.

    Returns the files written, the spec last.

    Raises:
        UserError: what to start from is unclear, or the folder holds a spec already; see
            `examples.write_example` and `from_file.write_draft` for the rest.
    """
    if (example is None) == (from_file is None):
        raise UserError(
            "say what to start from: an example or a file"
            if example is None
            else "both an example and a file",
            fix="--example flights, --example housing --data FILE, or --from FILE --target COLUMN",
        )
    if example is not None:
        if target is not None:
            raise UserError("an example has its own target", fix="leave --target out")
        from headrace.draft.examples import write_example

        return write_example(example, folder, data=data)
    if data is not None:
        raise UserError("--data belongs to an example", fix="name the file once, with --from")
    if from_file is None or target is None:
        raise UserError("--from needs the column to predict", fix="add --target COLUMN")
    from headrace.draft.from_file import write_draft

    return write_draft(from_file, target, folder)
