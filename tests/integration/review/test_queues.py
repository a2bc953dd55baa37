from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest

from moderation.review.log import Appended
from moderation.review.queue import DISPUTES, Left, Progress, QueueError, QueueSpec
from moderation.review.verdict import VerdictError
from support.said import items, said


def _queue(state, count=10, **options):
    queue = state.queues.create(QueueSpec(**({"kind": "job", "name": "Holiday"} | options)))
    state.queues.add_items(queue.queue_id, items(count))
    return queue.queue_id


def _contents(found):
    return [item.content for item in found]


def test_items_come_in_order_and_to_one_person_each(state):
    queue = _queue(state)

    assert _contents(state.queues.next(queue, "ann", 3)) == ["c0", "c1", "c2"]
    assert _contents(state.queues.next(queue, "bob", 2)) == ["c3", "c4"]
    assert _contents(state.queues.next(queue, "ann")) == ["c5"]
    assert state.queues.progress(queue) == Progress(open=4, leased=6)


def test_who_comes_back_goes_on_where_they_were(state):
    queue = _queue(state)
    taken = state.queues.next(queue, "ann", 3)
    state.queues.submit([said("present", content="c0")], [taken[0].item_id])

    assert _contents(state.queues.held(queue, "ann")) == ["c1", "c2"]


def test_an_item_whose_lease_ended_goes_to_the_next_who_asks(state):
    queue = _queue(state, lease_seconds=60)
    now = datetime.now(UTC)
    taken = state.queues.next(queue, "ann", 2, now=now)
    kept = state.queues.renew([taken[1].item_id], "ann", now=now + timedelta(seconds=50))
    assert kept == [taken[1].item_id]

    found = state.queues.next(queue, "bob", 2, now=now + timedelta(seconds=70))

    assert _contents(found) == ["c0", "c2"]
    assert state.queues.renew([item.item_id for item in taken], "ann") == kept


def test_a_decision_after_the_lease_ended_is_kept_all_the_same(state):
    queue = _queue(state, lease_seconds=60)
    now = datetime.now(UTC)
    [item] = state.queues.next(queue, "ann", now=now)
    state.queues.next(queue, "bob", now=now + timedelta(hours=1))

    assert state.queues.submit([said("present", content="c0")], [item.item_id]).new == 1
    assert state.queues.submit([said("present", content="c0", reviewer="bob")], [item.item_id]).new == 1
    assert state.queues.progress(queue).done == 1


def test_what_was_skipped_goes_to_others_and_never_back(state):
    queue = _queue(state, 3)
    [item] = state.queues.next(queue, "ann")

    state.queues.submit([], skipped=[item.item_id], reviewer="ann")

    assert _contents(state.queues.next(queue, "ann", 9)) == ["c1", "c2"]
    assert _contents(state.queues.next(queue, "bob", 9)) == ["c0"]


def test_what_everybody_skips_is_counted_and_comes_again_to_who_asks_for_it(state):
    queue, other = _queue(state, 3), _queue(state, 1)
    assert state.queues.left(queue, "ann") == Left(some=True)
    [*skipped, decided] = [item.item_id for item in state.queues.next(queue, "ann", 3)]
    state.queues.submit([said("present", content="c2")], [decided], skipped)
    assert state.queues.left(queue, "ann") == Left(some=False, skipped=2)
    assert state.queues.left(queue, "bob") == Left(some=True)
    state.queues.submit([], skipped=skipped, reviewer="bob")
    assert state.queues.skipped() == {queue: 2}

    assert [state.queues.skip_no_more(one, "ann") for one in (queue, other)] == [2, 0]

    assert state.queues.left(queue, "bob") == Left(some=False, skipped=2)
    assert _contents(state.queues.next(queue, "ann", 9)) == ["c0", "c1"]
    state.queues.submit([said("present", content="c0"), said("absent", content="c1")], skipped)
    assert state.queues.skipped() == {}
    assert state.queues.left(queue, "bob") == Left(some=False)


def test_a_second_opinion_waits_for_somebody_else_and_is_not_told_as_skipped(state):
    queue = _queue(state, 2, second_share=1.0)
    for item in state.queues.next(queue, "ann", 9):
        state.queues.submit([said("present", content=item.content)], [item.item_id])

    assert state.queues.left(queue, "ann") == Left(some=False, others=2)
    assert state.queues.left(queue, "bob") == Left(some=True)


def _set_aside(state, queue, reviewer="ann"):
    [item] = state.queues.next(queue, reviewer)
    state.queues.submit([], unseen=[item.item_id], reviewer=reviewer)
    return item


def test_a_queue_ends_without_what_nobody_can_see_and_it_waits_nowhere(state):
    queue, other = _queue(state, 2), _queue(state, 2)
    _set_aside(state, queue)
    assert state.queues.progress(queue) == Progress(open=1, unseen=1)
    assert state.queues.progress(other) == Progress(open=1, unseen=1)

    for name in (queue, other):
        [item] = state.queues.next(name, "bob", 9)
        state.queues.submit([said("present", content="c1", reviewer="bob")], [item.item_id])

    assert state.queues.progress_of_all([queue, other]) == dict.fromkeys(
        [queue, other], Progress(done=1, unseen=1)
    )
    assert state.queues.progress(queue).total == 1
    assert state.queues.oldest_waiting() is None
    assert state.queues.next(queue, "cem", 9) == []
    assert state.queues.decided_in(queue) == {("c1", "")}


def test_what_could_not_be_seen_waits_again_for_everybody_once_it_is_back(state):
    queue = _queue(state, 2)
    _set_aside(state, queue)
    assert _contents(state.queues.unseen(queue, 9)) == ["c0"]
    assert state.queues.look_again(queue) == 1
    assert state.queues.progress(queue) == Progress(open=2)
    assert _contents(state.queues.next(queue, "ann", 9)) == ["c0", "c1"]


def test_who_takes_back_that_an_image_cannot_be_seen_holds_it_again_and_others_of_it_wait(state):
    queue, other = _queue(state, 2), _queue(state, 2)
    item = _set_aside(state, queue)
    state.queues.submit([], reopened=[item.item_id], reviewer="ann")
    assert _contents(state.queues.held(queue, "ann")) == ["c0"]
    assert state.queues.progress(other) == Progress(open=2)


def test_who_sees_an_image_that_another_could_not_decides_it(state):
    queue = _queue(state, 2)
    item = _set_aside(state, queue)
    state.queues.submit([said("present", content="c0", reviewer="bob")], [item.item_id])
    assert state.queues.progress(queue) == Progress(open=1, done=1)


def test_only_who_holds_an_image_says_that_nobody_can_see_it(state):
    queue = _queue(state, 1)
    [item] = state.queues.next(queue, "ann")
    state.queues.submit([], unseen=[item.item_id], reviewer="bob")
    assert state.queues.progress(queue) == Progress(leased=1)


def test_a_dispute_whose_decision_is_taken_back_waits_once_and_ends_with_the_next(state):
    state.log.append([said("present", reviewer="ann"), said("absent", reviewer="bob")])
    for minute in (1, 2):
        [item] = state.queues.next(DISPUTES, "op") or state.queues.held(DISPUTES, "op")
        decided = said("present", reviewer="op", purpose="dispute", minute=minute)
        state.queues.submit([decided], [item.item_id])
        assert state.queues.disputes() == []
        back = said("withdrawn", reviewer="op", replaces=decided.verdict_id, minute=minute)
        state.queues.submit([back], reopened=[item.item_id])
        assert state.queues.progress(DISPUTES) == Progress(leased=1)
    state.queues.submit([said("absent", reviewer="op", purpose="dispute", minute=3)], [item.item_id])
    assert state.queues.progress(DISPUTES) == Progress(done=1)


def test_a_dispute_about_an_image_that_is_gone_is_put_once_and_ends_when_people_agree(state):
    first, second = said("present", reviewer="ann"), said("absent", reviewer="bob")
    state.log.append([first, second])
    _set_aside(state, DISPUTES, "op")
    state.log.append([said("unsure", reviewer="cem")])
    assert state.queues.progress(DISPUTES) == Progress(unseen=1)

    state.log.append([said("withdrawn", reviewer="bob", replaces=second.verdict_id, minute=1)])
    assert state.queues.progress(DISPUTES) == Progress(done=1)


def test_what_is_given_back_is_there_for_all(state):
    queue = _queue(state, 2)
    taken = state.queues.next(queue, "ann", 2)

    assert state.queues.release([item.item_id for item in taken], "bob") == 0
    assert state.queues.release([item.item_id for item in taken], "ann") == 2
    assert _contents(state.queues.next(queue, "bob", 2)) == ["c0", "c1"]


@pytest.mark.parametrize("how", ["done", "skipped"])
def test_an_undo_after_submission_gives_the_item_back_to_who_undid_it(state, how):
    queue = _queue(state, 2)
    [item] = state.queues.next(queue, "ann")
    first = said("present", content="c0")
    state.queues.submit([first], **{how: [item.item_id]})

    undo = said("withdrawn", content="c0", replaces=first.verdict_id, minute=1)
    state.queues.submit([undo], reopened=[item.item_id])

    assert _contents(state.queues.held(queue, "ann")) == ["c0"]


def test_decisions_and_their_items_are_stored_together_or_not_at_all(state):
    queue = _queue(state, 2)
    taken = state.queues.next(queue, "ann", 2)
    good, bad = said("present"), said("withdrawn", replaces="x")
    state.log.append([said("present", verdict_id="x", reviewer="bob")])

    with pytest.raises(VerdictError):
        state.queues.submit([good, bad], [item.item_id for item in taken])

    assert state.log.count() == 1
    assert state.queues.progress(queue).leased == 2


def test_a_submission_is_of_one_person(state):
    with pytest.raises(QueueError, match="decisions are of one person; these are of 2"):
        state.queues.submit([said("present"), said("present", reviewer="bob")])


def test_sent_twice_a_submission_counts_once(state):
    queue = _queue(state, 2)
    [item] = state.queues.next(queue, "ann")
    rows = [said("present", content="c0")]

    assert state.queues.submit(rows, [item.item_id]) == Appended(1, 0)
    assert state.queues.submit(rows, [item.item_id]) == Appended(0, 1)
    assert state.queues.progress(queue) == Progress(open=1, done=1)


def test_items_added_twice_are_there_once(state):
    queue = _queue(state, 5)

    assert state.queues.add_items(queue, items(7)) == 2
    assert state.queues.progress(queue).total == 7


def test_a_second_opinion_is_of_another_person(state):
    queue = _queue(state, 5, second_share=1.0)

    assert _contents(state.queues.next(queue, "ann", 99)) == ["c0", "c1", "c2", "c3", "c4"]
    assert state.queues.next(queue, "ann", 99) == []
    second = state.queues.next(queue, "bob", 99)
    assert _contents(second) == ["c0", "c1", "c2", "c3", "c4"]
    assert {item.purpose for item in second} == {"second"}


def _golden(state, count, **given):
    """Lay down what is in c0, c1, …"""
    gold = state.queues.create(QueueSpec(kind="golden", name="Gold"))
    state.queues.add_items(gold.queue_id, items(3, label="Weapons", **given))
    taken = state.queues.next(gold.queue_id, "op", count)
    state.queues.submit([], [item.item_id for item in taken], reviewer="op")


def _decide_all(state, queue, reviewer="ann"):
    """What a person is given, decided in batches until they are given nothing more."""
    given = []
    while some := state.queues.next(queue, reviewer, 2):
        state.queues.submit([], [item.item_id for item in some], reviewer=reviewer)
        given += some
    return given


def test_golden_items_are_those_of_which_the_truth_was_laid_down(state):
    _golden(state, 2)
    queue = state.queues.create(QueueSpec(kind="job", name="x", golden=1.0))
    state.queues.add_items(queue.queue_id, [item for item in items(9) if item.content > "c4"])

    mixed = [item for item in state.queues.next(queue.queue_id, "ann", 99) if item.purpose == "golden"]
    assert {(item.content, item.label) for item in mixed} == {("c0", "Weapons"), ("c1", "Weapons")}


@pytest.mark.parametrize("label", ["", "Weapons"])
def test_a_golden_image_that_the_queue_has_anyway_is_the_test_where_it_stands_and_asked_once(state, label):
    _golden(state, 3)
    queue = state.queues.create(QueueSpec(kind="job", name="x", golden=1.0, people=("ann",)))
    own = items(9, label=label, design="simple", inclusion_probability=0.5, purpose="rate")
    assert state.queues.add_items(queue.queue_id, reversed(own)) == 9

    given = _decide_all(state, queue.queue_id)

    assert sorted(_contents(given)) == _contents(own)
    assert {item.content for item in given if item.purpose == "golden"} == {"c0", "c1", "c2"}
    assert {item.inclusion_probability for item in given} == {0.5}
    assert state.queues.progress(queue.queue_id) == Progress(done=9)
    assert state.queues.add_items(queue.queue_id, own) == 0


def test_what_was_mixed_in_goes_when_the_queue_gets_the_image_itself(state):
    _golden(state, 2)
    spec = QueueSpec(kind="job", name="x", golden=1.0, benign_share=1.0, standing=True)
    queue = state.queues.create(spec).queue_id
    benign = items(6)[4:]
    mixed_in = {"c0", "c1", "c4", "c5"}
    assert state.queues.add_items(queue, items(10)[6:], benign=benign) == 8
    skipped = state.queues.next(queue, "bob", 9)
    state.queues.submit([], skipped=[item.item_id for item in skipped], reviewer="bob")

    assert state.queues.add_items(queue, items(6), benign=benign) == 6 - len(mixed_in)

    given = _decide_all(state, queue)
    assert sorted(_contents(given)) == _contents(items(10))
    assert {item.content for item in given if item.purpose == "golden"} == {"c0", "c1"}
    assert state.queues.skipped() == {}
    assert state.queues.left(queue, "bob") == Left(some=False)


def test_a_queue_in_which_an_image_stands_twice_already_ends_for_one_person(state):
    queue = _queue(state, 2, people=("ann",))
    for purpose in ("golden", "benign"):
        state.queues.add_items(queue, items(2, purpose=purpose))

    assert sorted(_contents(_decide_all(state, queue))) == ["c0"] * 3 + ["c1"] * 3
    assert state.queues.left(queue, "ann") == Left(some=False)


def test_benign_images_are_mixed_in_and_enter_no_rate(state):
    queue = state.queues.create(QueueSpec(kind="job", name="x", benign_share=0.5, seed=3))
    drawn = items(40, design="simple", inclusion_probability=0.5, purpose="rate")
    benign = [item for item in items(99, design="simple") if int(item.content[1:]) >= 50]

    state.queues.add_items(queue.queue_id, drawn, benign=benign)

    found = state.queues.next(queue.queue_id, "ann", 999)
    mixed = [item for item in found if item.purpose == "benign"]
    assert 5 < len(mixed) < 35
    assert {item.design for item in mixed} == {None}
    assert sum(item.inclusion_probability == 0.5 for item in found) == 40


def test_a_queue_for_some_people_is_not_for_others(state):
    queue = _queue(state, people=("ann",))
    with pytest.raises(QueueError, match="'Holiday' is for other people"):
        state.queues.next(queue, "bob")

    assert state.queues.restrict(queue, []).spec.people == ()
    assert state.queues.next(queue, "bob")


def test_a_paused_queue_hands_out_nothing_and_keeps_nobody_waiting(state):
    queue = _queue(state)
    [item] = state.queues.next(queue, "ann")
    assert state.queues.oldest_waiting().item_id == item.item_id

    assert state.queues.pause(queue).paused
    assert state.queues.next(queue, "ann") == []
    assert state.queues.oldest_waiting() is None
    assert state.queues.submit([said("present", content="c0")], [item.item_id]).new == 1

    state.queues.resume(queue)
    assert _contents(state.queues.next(queue, "ann")) == ["c1"]


def test_the_oldest_waiting_is_the_oldest_that_nobody_decided(state):
    first, second = _queue(state, 1), _queue(state, 1)
    assert state.queues.oldest_waiting().queue_id == first

    [item] = state.queues.next(first, "ann")
    assert state.queues.oldest_waiting().queue_id == first
    state.queues.submit([said("present", content="c0")], [item.item_id])

    assert state.queues.oldest_waiting().queue_id == second


def test_what_was_marked_as_severe_is_handed_to_nobody_but_who_decides(state):
    queue = _queue(state, 3)
    mark = said("severe", None, content="c0")
    state.log.append([mark])

    assert _contents(state.queues.next(queue, "bob", 1)) == ["c1"]
    assert _contents(state.queues.next(queue, "op", 1, sees_severe=True)) == ["c0"]

    state.queues.release([item.item_id for item in state.queues.held(queue, "op")], "op")
    state.log.append([said("not_severe", None, content="c0", reviewer="op", minute=1)])
    assert _contents(state.queues.next(queue, "ann", 1)) == ["c0"]


def test_a_disagreement_is_put_before_who_decides_and_goes_when_it_is_settled(state):
    state.log.append([said("present", "Violence", minute=1)])
    state.log.append([said("absent", "Violence", reviewer="bob", minute=2)])
    [item] = state.queues.disputes()
    assert (item.content, item.label, item.purpose) == ("c1", "Violence", "dispute")

    state.log.append([said("absent", "Violence", reviewer="cy", minute=3)])
    assert state.queues.disputes() == [item]

    [taken] = state.queues.next(DISPUTES, "op")
    decision = said("absent", "Violence", reviewer="op", purpose="dispute", minute=4)
    state.queues.submit([decision], [taken.item_id])
    assert state.queues.disputes() == []
    assert len(state.log.of_contents(["c1"])) == 4


def test_who_changes_their_mind_settles_it_too(state):
    state.log.append([said("present", "Violence"), said("absent", "Violence", reviewer="bob")])
    assert state.queues.disputes()

    state.log.append([said("present", "Violence", reviewer="bob", minute=9)])
    assert state.queues.disputes() == []

    state.log.append([said("absent", "Violence", reviewer="bob", minute=10)])
    assert len(state.queues.disputes()) == 1


def test_an_unknown_queue_is_named(state):
    with pytest.raises(QueueError, match="there is no queue 'nowhere'"):
        state.queues.next("nowhere", "ann")


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"kind": "odd"}, "its kind 'odd' is none of job, band"),
        ({"name": " "}, "it has no name"),
        ({"second_share": 1.1}, "a share is between 0 and 1"),
        ({"low": 80, "high": 20}, "band of confidence"),
        ({"cap": 0}, "its cap"),
        ({"size": 0}, "its size"),
        ({"lease_seconds": 0}, "for a second at least"),
    ],
)
def test_a_queue_that_cannot_be_is_refused(options, text):
    with pytest.raises(QueueError, match=text):
        QueueSpec(**({"kind": "job", "name": "x"} | options))


def test_many_people_at_once_lose_double_and_cross_nothing(state):
    queue = _queue(state, 60)

    def work(person: str) -> list[tuple[str, str]]:
        mine = []
        while taken := state.queues.next(queue, person, 2):
            for item in taken:
                mine.append((item.content, person))
                verdict = said("present", content=item.content, reviewer=person, item_id=item.item_id)
                state.queues.submit([verdict], [item.item_id])
        return mine

    with ThreadPoolExecutor(8) as pool:
        worked = [pair for mine in pool.map(work, [f"p{number}" for number in range(8)]) for pair in mine]

    stored = [(row.content, row.reviewer) for _, row in state.log.since(0)]
    assert sorted(stored) == sorted(worked)
    assert sorted(content for content, _ in stored) == sorted(f"c{number}" for number in range(60))
    assert state.queues.progress(queue) == Progress(done=60)
