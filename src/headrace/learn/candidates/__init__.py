"""The built-in candidates: name -> "module:object", imported when used. The same door as entry points."""

BUILT_IN = {
    "naive": "headrace.learn.candidates.naive:NAIVE",
    "linear": "headrace.learn.candidates.linear:LINEAR",
    "river": "headrace.learn.candidates.river:RIVER",
    "tree": "headrace.learn.candidates.tree:TREE",
    "forest": "headrace.learn.candidates.forest:FOREST",
    "extra_trees": "headrace.learn.candidates.extra_trees:EXTRA_TREES",
    "boosting": "headrace.learn.candidates.boosting:BOOSTING",
    "xgboost": "headrace.learn.candidates.xgboost:XGBOOST",
    "catboost": "headrace.learn.candidates.catboost:CATBOOST",
    "svm": "headrace.learn.candidates.svm:SVM",
    "knn": "headrace.learn.candidates.knn:KNN",
    "mlp": "headrace.learn.candidates.mlp:MLP",
}
