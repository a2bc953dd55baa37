from __future__ import annotations

from collections.abc import Iterator

import duckdb
import pytest

from moderation.policy.rules import parse_policy
from moderation.policy.thresholds import Thresholds
from moderation.query.published_views import open_published
from moderation.review.fill import STANDING_POLICY, STANDING_UNFLAGGED, Rules, fill, fill_standing
from moderation.review.queue import QueueError, QueueSpec
from moderation.review.statistics.draws import drawn
from support import planned_runs, published_loads
from support.answered import LOAD, image, published

OTHER = "20261123T020000Z-4f1c0a9b77de"
IMAGES = [
    *(image(number) for number in range(20)),
    *(image(number, {"Violence": 10.0, "Weapons": 10.0}) for number in range(20, 28)),
    *(image(number, {"Violence": 30.0}) for number in range(28, 34)),
    *(image(number, {"Violence": 90.0, "Weapons": 60.0 + number}) for number in range(34, 40)),
    image(40, {"Smoking": 99.0}, load_id=OTHER),
    image(90, status="failed"),
]
POLICY = parse_policy(
    {"default": "allow", "rules": [{"label": "Violence", "min_confidence": 50, "decision": "review"}]},
    where="policy.toml",
)


@pytest.fixture
def connection() -> Iterator[duckdb.DuckDBPyConnection]:
    made = published(IMAGES)
    yield made
    made.close()


@pytest.fixture
def filled(state, connection):
    """Fill a queue; its items as one person gets them."""

    def fill_it(rules=None, **options):
        queue = state.queues.create(QueueSpec(**({"name": "x"} | options)))
        added = fill(connection, state.queues, queue, rules or Rules())
        found = state.queues.next(queue.queue_id, "ann", 9_999)
        assert added >= len(found)
        return found

    return fill_it


def _numbers(items):
    return {int(item.source_ref.split("/")[-1].removesuffix(".jpg")) for item in items}


@pytest.fixture(params=["sqlite"])
def state_url(request, tmp_path, made_sqlite):
    """What is filled is told by the tables: one database is enough."""
    path = tmp_path / "review.db"
    path.write_bytes(made_sqlite.read_bytes())
    return str(path)


@pytest.mark.parametrize(
    ("options", "numbers"),
    [
        ({"kind": "job", "load_id": LOAD}, set(range(20, 40))),
        ({"kind": "job", "load_id": OTHER}, {40}),
        ({"kind": "job", "label": "Weapons"}, {*range(20, 28), *range(34, 40)}),
        ({"kind": "band", "label": "Weapons", "low": 10.0, "high": 96.0}, {*range(20, 28), 34, 35}),
        ({"kind": "policy"}, set(range(34, 40))),
        ({"kind": "random_unflagged"}, set(range(20))),
        ({"kind": "stratified"}, set(range(41))),
        ({"kind": "filter", "filter": {"load_id": OTHER, "content_type": ["none", "animated"]}}, {40}),
        (
            {"kind": "filter", "filter": {"load_id": LOAD}, "label": "Violence", "low": 20.0},
            set(range(28, 40)),
        ),
        ({"kind": "golden", "filter": {"line_number": [3, 30]}}, {3, 30}),
    ],
)
def test_each_kind_takes_what_its_options_say(filled, options, numbers):
    assert _numbers(filled(Rules(policy=POLICY), **options)) == numbers


def test_what_is_flagged_goes_by_the_threshold_in_use(filled):
    rules = Rules(thresholds=Thresholds(default=50.0, labels={"Violence": 95.0}))

    found = filled(rules, kind="random_unflagged")

    assert _numbers(found) == set(range(34))


def test_an_item_says_which_answer_was_seen_and_how_it_was_drawn(filled):
    found = filled(kind="stratified", size=20, seed=5)

    assert len(found) == 20
    for item in found:
        number = int(item.source_ref.split("/")[-1].removesuffix(".jpg"))
        assert (item.manifest_id, item.line_number, item.size_bytes) == ("m0", number, 1)
        assert item.content == f"{number:032x}-1"
        assert item.design == "stratified"
        assert item.seed == 5
        assert item.purpose == "rate"
    sizes = {"none": 20, "5-20": 8, "20-50": 6, "above": 7}
    drawn = {stratum: [item for item in found if item.stratum == stratum] for stratum in sizes}
    for stratum, some in drawn.items():
        assert {item.inclusion_probability for item in some} == {len(some) / sizes[stratum]}


def test_the_draws_are_told_with_the_sizes_of_their_strata(state, connection):
    queue = state.queues.create(QueueSpec(kind="stratified", name="x", size=20, seed=5))
    fill(connection, state.queues, queue, Rules())

    found = drawn(state).to_pylist()

    assert {row["draw"] for row in found} == {f"{queue.queue_id}:5"}
    assert {(row["stratum"], row["stratum_size"]) for row in found} == {
        ("none", 20),
        ("5-20", 8),
        ("20-50", 6),
        ("above", 7),
    }


def test_one_content_under_many_keys_is_one_item_with_its_copies(state):
    copies = [image(1, {"Violence": 70.0}, source_ref=f"s3://archive/copy{number}") for number in range(3)]
    older = image(
        1, {"Violence": 60.0}, source_ref="s3://archive/copy0", load_id="20250101T000000Z-4f1c0a9b77de"
    )
    newer = [row | {"moderated_at": row["moderated_at"].replace(year=2027)} for row in copies]
    with published([older, *newer]) as made:
        queue = state.queues.create(QueueSpec(kind="job", name="x"))
        fill(made, state.queues, queue, Rules())

    [item] = state.queues.next(queue.queue_id, "ann", 9)
    assert (item.copies, item.confidence, item.load_id) == (3, 70.0, LOAD)


def test_an_overwritten_key_is_asked_about_as_it_is_now(state):
    before = image(
        1, {"Violence": 70.0}, source_ref="s3://archive/a", load_id="20250101T000000Z-4f1c0a9b77de"
    )
    after = image(2, {"Smoking": 70.0}, source_ref="s3://archive/a")
    with published([before, after]) as made:
        queue = state.queues.create(QueueSpec(kind="job", name="x"))
        fill(made, state.queues, queue, Rules())

    assert [item.content for item in state.queues.next(queue.queue_id, "ann", 9)] == [f"{2:032x}-1"]


def test_filled_again_it_gets_what_is_new_only(state, connection):
    queue = state.queues.create(QueueSpec(kind="job", name="x"))

    assert fill(connection, state.queues, queue, Rules()) == 21
    assert fill(connection, state.queues, queue, Rules()) == 0


def test_benign_images_come_from_answers_that_list_nothing(filled):
    found = filled(kind="job", benign_share=1.0)

    benign = [item for item in found if item.purpose == "benign"]
    assert len(benign) == 20
    assert _numbers(benign) == set(range(20))


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"kind": "policy"}, "set MODERATION_POLICY"),
        ({"kind": "band"}, "a band of confidence is of a label"),
        ({"kind": "dispute"}, "comes by itself"),
        ({"kind": "adapter"}, "name the adapter"),
        ({"kind": "filter", "filter": {"x; DROP TABLE images": 1}}, "images have no column 'x; DROP"),
    ],
)
def test_what_cannot_be_filled_says_why(filled, options, text):
    with pytest.raises(QueueError, match=text):
        filled(**options)


def test_a_publish_adds_to_the_standing_queues_and_repeated_adds_nothing(state, connection):
    own = state.queues.create(QueueSpec(kind="band", name="own", label="Weapons", low=90.0, standing=True))
    rules = Rules(policy=POLICY)

    first = fill_standing(connection, state.queues, rules, [LOAD, OTHER], unflagged_percent=10)

    assert first == {STANDING_POLICY: 6, STANDING_UNFLAGGED: 2, own.queue_id: 6}
    again = fill_standing(connection, state.queues, rules, [LOAD], unflagged_percent=10)
    assert set(again.values()) == {0}
    drawn = state.queues.next(STANDING_UNFLAGGED, "ann", 9)
    assert {item.inclusion_probability for item in drawn} == {0.1}


def test_without_a_policy_its_queue_is_left_out(state, connection):
    found = fill_standing(connection, state.queues, Rules(), [LOAD], unflagged_percent=100)

    assert found == {STANDING_UNFLAGGED: 20}


@pytest.mark.slow
def test_queues_are_filled_from_the_published_files(state, tmp_path, s3_client, bucket, aws_env):
    settings = planned_runs.make_settings(tmp_path, bucket, tables="s3")
    load_id = published_loads.publish_plain(settings, s3_client, "holiday")
    with open_published(settings) as views:
        found = fill_standing(views, state.queues, Rules(policy=POLICY), [load_id], unflagged_percent=1)

    assert found == {STANDING_POLICY: 6, STANDING_UNFLAGGED: 0}
