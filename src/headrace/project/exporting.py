"""Releases as files that run elsewhere."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from headrace.project.base import ProjectBase

if TYPE_CHECKING:
    from headrace.engine.export import Exported


class Exporting(ProjectBase):
    """What a `Project` exports."""

    def export(
        self, target: str, output: str | Path, release: str | None = None, *, claim: str = ""
    ) -> Exported:
        """Write a release (default: the champion) as `docker`, `compose`, `kubernetes` (a folder that serves
        it) or `client` (a Python file that calls it).

        Raises:
            UserError: there is no such target, or the output holds something else.
        """
        from headrace.core.errors import UserError, did_you_mean
        from headrace.engine.export import TARGETS, export_client, export_server

        if target not in TARGETS:
            raise UserError(f"there is no target {target!r}", fix=did_you_mean(target, TARGETS))
        found, manifest = self.release(release)
        if target == "client":
            return export_client(found, manifest, Path(output))
        return export_server(
            self.store,
            found,
            manifest,
            Path(output),
            target=target,
            online=self.online(),
            clock=self._clock,
            claim=claim,
        )
