"""Stop sequences against a search in the whole text."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from assistant.engine.stop_sequences import StopSequences


@given(
    st.lists(st.text("ab\n", max_size=4), max_size=12),
    st.lists(st.text("ab\n", min_size=1, max_size=4), max_size=3),
)
def test_a_stream_is_cut_where_the_whole_text_would_be(pieces, sequences):
    stops, said, stopped = StopSequences(sequences), "", False
    seen = ""
    for piece in pieces:
        seen += piece
        text, stopped = stops.feed(piece)
        said += text
        if stopped:
            break
        # no more is held back than may become a stop sequence
        held = seen[len(said) :]
        assert not held or any(s.startswith(held) and s != held for s in sequences)
    said += stops.rest()
    places = [seen.find(s) for s in sequences if s in seen]
    assert stopped == bool(places)
    assert said == (seen[: min(places)] if places else seen)


def test_an_empty_sequence_stops_nothing():
    assert StopSequences([""]).feed("abc") == ("abc", False)
