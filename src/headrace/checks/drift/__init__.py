"""Drift of columns between a reference and a window, and what of it is an alarm: the built-in statistics,
name -> "module:object", imported when used."""

BUILT_IN = {
    "ks": "headrace.checks.drift.ks:KS",
    "wasserstein": "headrace.checks.drift.wasserstein:WASSERSTEIN",
    "psi": "headrace.checks.drift.psi:PSI",
    "chi_square": "headrace.checks.drift.chi_square:CHI_SQUARE",
    "jensen_shannon": "headrace.checks.drift.jensen_shannon:JENSEN_SHANNON",
}
