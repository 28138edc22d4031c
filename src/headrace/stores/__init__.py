"""Where the ledger, the artifacts and facts for answering are kept, and the audit of the first two."""

from headrace.stores.audit import AuditReport, audit
from headrace.stores.embedded import EmbeddedStore
from headrace.stores.online import SqliteOnlineStore

__all__ = ["AuditReport", "EmbeddedStore", "SqliteOnlineStore", "audit"]
