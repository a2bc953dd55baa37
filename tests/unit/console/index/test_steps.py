"""Promises of the counts by confidence."""

from moderation.console.index.steps import Step, by_kind, histogram, ladder

STEPS = [
    Step("none", None, images=7, flagged=0),
    Step("none", 60, images=3, flagged=2),
    Step("animated", 60, images=1, flagged=0),
    Step("animated", 100, images=2, flagged=2),
]


def test_a_rung_has_the_images_from_its_percent_on_and_none_without_a_label():
    rungs = ladder(STEPS, None)
    assert [rungs[0], rungs[60], rungs[61], rungs[100]] == [6, 6, 2, 2]
    assert len(rungs) == 101


def test_a_ladder_may_be_of_one_content_type():
    rungs = ladder(STEPS, "animated")
    assert [rungs[60], rungs[61]] == [3, 2]


def test_the_last_bar_of_a_histogram_has_the_certain_ones_in_it():
    bars = histogram(ladder(STEPS, None))
    assert (len(bars), bars[12], bars[19], sum(bars)) == (20, 4, 2, 6)


def test_types_have_all_their_images_and_those_that_are_flagged():
    assert by_kind(STEPS) == {"none": (10, 2), "animated": (3, 2)}
