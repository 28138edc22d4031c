"""Where the ledger and the artifacts are kept, and the audit of both."""

from headrace.stores.audit import AuditReport, audit
from headrace.stores.embedded import EmbeddedStore

__all__ = ["AuditReport", "EmbeddedStore", "audit"]
