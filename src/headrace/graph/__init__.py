"""Building, joining and running ONNX graphs, and turning data into what they take.

Imports nothing by itself: `build` and `join` need the onnx library (training only), `encode`, `rows` and
`run` do not (serving).
"""
