"""Where the ledger and the artifacts are kept."""

from headrace.stores.embedded import EmbeddedStore

__all__ = ["EmbeddedStore"]
