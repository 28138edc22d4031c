"""Names of predictions: of their millisecond, and each once."""

from headrace.serve.desk.entries import Names

HOUR = 3_600_000_000


def test_names_are_of_their_millisecond_and_no_two_are_the_same() -> None:
    names, other = Names(), Names()
    made: list[str] = []
    for moment, count in ((0, 1), (HOUR, 1), (HOUR + 999, 300), (HOUR + 1000, 255), (2 * HOUR, 1000)):
        some = names.make(moment, count)
        assert len(some) == count
        assert {n[:12] for n in some} == {f"{moment // 1000:012x}"}
        assert {len(n) for n in some} == {32}
        made += [*some, *other.make(moment, 1)]
    assert len({n[12:] for n in made}) == len(made)
