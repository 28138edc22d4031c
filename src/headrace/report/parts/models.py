"""The candidates beside each other, what was searched, and what combining them was worth."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from headrace.core.told import RunTold
from headrace.report.figures.compare import leaderboard, trials
from headrace.report.figures.style import rows_high
from headrace.report.page import Html, Section, chip, more, number, para, table, text
from headrace.report.parts.common import drawn, ends, spelled, why_not
from headrace.report.records import Records


def leaderboard_section(told: RunTold, records: Records) -> Section:
    """Every candidate, the baselines among them."""
    learned = told.facts("learn")
    lines = learned.get("leaderboard", ())
    if not lines:
        return Section("leaderboard", "Candidates", why_not(told, "learn"))
    metric, chosen = told.spec.get("problem", {}).get("metric", ""), learned.get("model", "")
    notes = told.notes("learn")
    folds = told.spec.get("cv", {})
    how = (
        "fitted once, compared on validation"
        if folds.get("holdout")
        else f"over {folds.get('folds', 5)} folds of the training rows"
    )
    lead = f"{metric}, mean and standard deviation {how}. Chosen: {chosen}"
    lead += f" ({learned['choice']})." if learned.get("choice") else "."
    body = drawn(
        leaderboard(lines, metric, chosen=chosen),
        "Mean over the folds",
        "Whiskers are standard deviations. Orange is the chosen one, grey what it has to beat.",
        height=rows_high(sum(m["mean"] is not None for m in lines)),
    )
    body += _table(lines, notes.get("seconds", {}), notes.get("continued", {}), chosen)
    body += _search(records) + _ensemble(records) + _more(learned)
    return Section("leaderboard", "Candidates", body, lead)


def _table(lines: Any, seconds: Mapping[str, float], continued: Mapping[str, Any], chosen: str) -> str:
    worth = any(m.get("worth") for m in lines)
    rows = []
    for m in lines:
        name = Html(f"{text(m['model'])} {chip('chosen', 'good')}") if m["model"] == chosen else m["model"]
        said = [m.get("error") or m.get("note") or "", _continued(continued.get(m["model"]))]
        note = "; ".join(s for s in said if s)
        row = [name, number(m["mean"]), number(m["std"]), number(seconds.get(m["model"]))]
        if worth:
            w = m.get("worth")
            row += [number(w["value"]), ends(w["interval"])] if w else ["–", ""]
        rows.append([*row, note])
    unit = next((m["worth"]["unit"] for m in lines if m.get("worth")), "")
    money = [f"worth, {unit}".strip(", "), "95% interval"] if worth else []
    shown = table(
        ["candidate", "mean", "std", "seconds", *money, "note"],
        rows,
        numbers=[1, 2, 3, *([4] if worth else [])],
        lean=True,
    )
    params = [[m["model"], spelled(m["params"])] for m in lines if m.get("params")]
    return shown + (more("Parameters", table(["candidate", "parameters"], params)) if params else "")


def _continued(found: Mapping[str, Any] | None) -> str:
    """What a fit that learns row by row began with (`learn.continuing.Continued`)."""
    if found is None:
        return ""
    if found["before"]:
        return f"went on from {found['before']:,} of {found['rows']:,} rows"
    return f"learned {found['rows']:,} rows from the start: {found['why_none']}"


def _search(records: Records) -> str:
    found = records.search
    if found is None:
        return ""
    budget = [
        f"{found.trials} trials" if found.trials else "",
        f"{found.seconds:g} s" if found.seconds else "",
    ]
    words = {"random": "at random", "grid": "over a grid", "bayesian": "by TPE (Bayesian)"}
    most = ", ".join(b for b in budget if b) or "the whole grid"
    lead = f"Searched {words.get(found.method, found.method)}, budget {most}."
    if found.clock:
        lead += " What was tried depends on the clock: another run may find something else."
    rows = [
        [
            c.model, f"{len(c.trials):,}", number(c.defaults_mean), number(c.honest_mean),
            number(c.best_mean), spelled(c.trials[c.best].params) if c.best < len(c.trials) else "",
            c.stopped,
        ]
        for c in found.candidates
    ]  # fmt: skip
    headers = [
        "candidate", "trials", "defaults", "tuned, judged on other folds", "tuned, on the same folds",
        "best parameters", "ended",
    ]  # fmt: skip
    spaces = [[c.model, k, v] for c in found.candidates for k, v in c.space.items()]
    return (
        "<h3>Search</h3>" + para(lead, "lead")
        + drawn(trials(found), "Trials", "Dots are trials, lines the best so far; trial 0 are the defaults.")
        + table(headers, rows, numbers=[1, 2, 3, 4])
        + more("What was varied", table(["candidate", "parameter", "between"], spaces))
    )  # fmt: skip


def _ensemble(records: Records) -> str:
    found = records.ensemble
    if found is None:
        return ""
    weights = [[n, f"{w:.3f}"] for n, w in found.weights.items()]
    kept = chip("kept", "good") if found.kept else chip("not kept")
    return (
        "<h3>Ensemble</h3>"
        + f"<p>{kept} {text(found.why)}</p>"
        + table(["candidate", "weight"], weights, numbers=[1])
    )


def _more(learned: Mapping[str, Any]) -> str:
    told = []
    if learned.get("threshold") is not None:
        told.append(f"Decides positive from a probability of {number(learned['threshold'])} on.")
    if learned.get("calibration"):
        told.append(f"Probabilities are calibrated ({learned['calibration']}).")
    sure = learned.get("uncertainty")
    if sure:
        told.append(_sure(sure))
    return "".join(para(t) for t in told)


def _sure(found: Mapping[str, Any]) -> str:
    level = found.get("level", 0.0)
    if found.get("task", {}).get("kind") == "regression":
        widths = [q for q in found.get("quantiles", ()) if q is not None]
        reach = f": the prediction ± {number(max(widths))}" if widths else ""
        what = f"Answers come with intervals that are to hold {level:.0%} of the truths{reach}"
    else:
        what = f"Answers come with sets of classes that are to hold {level:.0%} of the truths"
        what += "; where a set holds several classes or none, it abstains" if found.get("abstain") else ""
    why = f" Unknown: {found['why_none']}." if found.get("why_none") else ""
    return f"{what} (conformal prediction; on average over new rows like these).{why}"
