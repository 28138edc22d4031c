"""The built-in candidates: name -> "module:object", imported when used. The same door as entry points."""

BUILT_IN = {
    "naive": "headrace.learn.candidates.naive:NAIVE",
    "linear": "headrace.learn.candidates.linear:LINEAR",
    "tree": "headrace.learn.candidates.tree:TREE",
    "forest": "headrace.learn.candidates.forest:FOREST",
    "boosting": "headrace.learn.candidates.boosting:BOOSTING",
    "xgboost": "headrace.learn.candidates.xgboost:XGBOOST",
    "catboost": "headrace.learn.candidates.catboost:CATBOOST",
}
