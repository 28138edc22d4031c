"""Frames are whole or not there, wherever bytes are missing or wrong."""

import random

from headrace.core.answered import Answered
from headrace.logs.frames import HEADER, Frame, Gap, frame, scan, written
from headrace.testing.log_exam import answered


def entries(data: bytes) -> list[Answered]:
    return [e for piece in scan(data) if isinstance(piece, Frame) for e in piece.entries]


def gaps(data: bytes) -> int:
    return sum(p.end - p.start for p in scan(data) if isinstance(p, Gap))


def test_cut_anywhere_whole_frames_are_read() -> None:
    frames = [frame([answered(i), answered(i + 100)]) for i in range(5)]
    data = b"".join(frames)
    ends = [sum(map(len, frames[:n])) for n in range(6)]
    for cut in range(len(data) + 1):
        whole = sum(end <= cut for end in ends) - 1
        assert len(entries(data[:cut])) == 2 * whole
        assert gaps(data[:cut]) == cut - ends[whole]


def test_room_behind_frames_is_no_part_of_them() -> None:
    zeros = frame([answered(1, answer={"prediction": [0] * 40}, took_us=0)])
    assert zeros.endswith(bytes(40)), "a body's own zeros stay"
    for data in (HEADER, HEADER + zeros, HEADER + frame([answered(2)]) + zeros):
        for room in (0, 1, 40, 5000):
            assert written(data + bytes(room)) == data
    begun = HEADER + zeros + frame([answered(3)])[:-5]
    assert written(begun + bytes(5000)) == begun + bytes(5), (
        "a frame that was being written, as far as it goes"
    )
    lost = HEADER + b"?" + zeros + bytes(60)
    assert written(lost) == lost, "behind what is no frame nobody knows whose the zeros are"


def test_damage_costs_the_frames_that_it_meets() -> None:
    frames = [frame([answered(i)]) for i in range(20)]
    data = b"".join(frames)
    chance = random.Random(1)
    for _ in range(300):
        spot = chance.randrange(len(data))
        broken = bytearray(data)
        broken[spot] ^= 1 << chance.randrange(8)
        hit = next(n for n in range(20) if spot < sum(map(len, frames[: n + 1])))
        assert entries(bytes(broken)) == [answered(i) for i in range(20) if i != hit]
        assert gaps(bytes(broken)) == len(frames[hit])


def test_zeros_and_noise_are_no_entries() -> None:
    assert entries(bytes(1000)) == []
    assert gaps(bytes(1000)) == 1000
    noise = random.Random(2).randbytes(100_000)
    assert entries(noise) == []
    assert entries(noise + frame([answered(1)])) == [answered(1)]


def test_an_entry_that_has_the_mark_in_it() -> None:
    tricky = answered(1, inputs={"text": "HRF1" * 50})
    data = frame([tricky]) + frame([answered(2)])
    assert entries(data) == [tricky, answered(2)]
    assert entries(b"HRF1" + data) == [tricky, answered(2)]
    assert entries(data[5:]) == [answered(2)]
