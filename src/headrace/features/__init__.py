"""The feature matrix: what its columns are, what is learned for them, the graph that makes it, and its rows.

`plan` and `fit` and `compile` belong to training (onnx); `matrix` reads and runs what they made.
"""
