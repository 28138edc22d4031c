"""The query: the events' rows with what was known at each one's moment of prediction."""

from __future__ import annotations

from headrace.core.clock import duration_micros
from headrace.data.pit_sql.histories import add_histories
from headrace.data.pit_sql.lookups import add_lookup
from headrace.data.pit_sql.plan import Plan
from headrace.data.pit_sql.writing import MOMENT, NO_TIME, Steps, earlier, listed
from headrace.expr.dialects import dialect_of


def pit_sql(plan: Plan, dialect: str) -> str:
    """One SELECT, in the SQL of `duckdb`, `postgres` or `spark`: a row for each row of the events, in no
    order, with the events' columns, lookups as `table.column` and histories as `history.name`.

    Times have to be UTC, without a zone (Spark: the session's zone is UTC). Sums and means of doubles may
    differ from headrace's in the last digits, as databases add in an order of their own.

    Raises:
        UserError: there is no such dialect, or no query can be made of the plan.
        ExprError: the dialect has no exact form of an operation.
    """
    plan = plan.checked()
    words = dialect_of(dialect)
    data, events = plan.data, plan.data.events
    steps = Steps(words, list(plan.tables[events]))
    moment = NO_TIME if data.time is None else words.named(data.time)
    lead = duration_micros(data.lead)
    if data.time is not None and lead:
        moment = earlier(words, moment, lead)
    own = listed(steps.names(steps.columns))
    steps.last = steps.add(
        "asked",
        f"SELECT {own}, {moment} AS {MOMENT}\nFROM {plan.relation(events, words.named(events))}",
    )
    for table, columns in plan.lookups.items():
        add_lookup(steps, plan, table, columns)
    add_histories(steps, plan, plan.histories)
    final = f"SELECT {listed(steps.names(steps.columns))}\nFROM {steps.last}\n"
    return _heading(plan, words.name) + steps.text(final)


def _heading(plan: Plan, name: str) -> str:
    """What a reader of the query has to know."""
    data = plan.data
    lines = [f"{name}: the rows of {data.events} with what was known at each one's moment"]
    if data.time is not None:
        lines.append(f"moment of prediction: {data.time}" + (f" - {data.lead}" if data.lead else ""))
    ties = f"the column {plan.position}" if plan.position is not None else "their values"
    lines.append(f"rows of the same key and times are put in order by {ties}")
    # A name may hold any character: none of them ends the comment.
    return "".join("-- " + " ".join(line.split()) + "\n" for line in (*lines, *plan.notes))
