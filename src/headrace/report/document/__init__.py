"""The design document: written from a frozen record of spec and ledger, never by hand."""

from headrace.report.document.blocks import Document
from headrace.report.document.html import to_html
from headrace.report.document.markdown import to_markdown
from headrace.report.document.write import document_of

__all__ = ["Document", "document_of", "to_html", "to_markdown"]
