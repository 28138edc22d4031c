"""Arrow arrays over their buffers: what `graph.buffers` has, as this room calls it."""

from headrace.graph.buffers import Array, fixed, fixed_array, known, span, stream, text_array, texts

__all__ = ["Array", "fixed", "fixed_array", "known", "span", "stream", "text_array", "texts"]
