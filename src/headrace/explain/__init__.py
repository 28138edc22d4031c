"""Why a model answers as it does, asked of its packaged graph."""
