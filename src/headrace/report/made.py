"""A document that was made: HTML to save or to show in a notebook, and Markdown where it has such a form."""

from __future__ import annotations

import os
from dataclasses import dataclass
from html import escape
from pathlib import Path

from headrace.core.errors import UserError


@dataclass(frozen=True)
class Report:
    """A self-contained page. `markdown` is its form as text, empty where it has none."""

    title: str
    html: str
    markdown: str = ""

    def save(self, path: str | Path) -> Path:
        """Write it to a file: as Markdown where the name ends in `.md`, else as HTML. A file of that name is
        replaced whole or not at all.

        Raises:
            UserError: the file can't be written, or there is no Markdown form.
        """
        file = Path(path)
        body = self.html
        if file.suffix.lower() in (".md", ".markdown"):
            if not self.markdown:
                raise UserError(f"{self.title} has no Markdown form", fix="name a file that ends in .html")
            body = self.markdown
        beside = file.with_name(f".{file.name}.{os.getpid()}.part")
        try:
            beside.write_text(body, encoding="utf-8")
            beside.replace(file)
        except OSError as error:
            beside.unlink(missing_ok=True)
            raise UserError(
                f"{file} can't be written: {error.strerror}", fix="choose another file"
            ) from error
        return file

    def _repr_html_(self) -> str:
        # A frame of its own: the page's styles stay out of the notebook's.
        return (
            f'<iframe title="{escape(self.title)}" srcdoc="{escape(self.html)}" '
            'style="width:100%;height:80vh;border:1px solid #8884;border-radius:8px"></iframe>'
        )
