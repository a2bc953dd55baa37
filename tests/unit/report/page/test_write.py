"""The report page: right figures, nothing from elsewhere, and no text that can act."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, timedelta
from html.parser import HTMLParser
from pathlib import Path

import duckdb
import pytest

from moderation.cli import main
from moderation.errors import WarehouseError
from moderation.reference import error_codes
from moderation.report.page import charts, data, wording
from moderation.report.page.data import Period
from moderation.report.page.write import load_file, write_report
from moderation.warehouses.reading import open_warehouse
from moderation.warehouses.views import in_use, verdict_views
from support import drawings, small_warehouse
from support.small_warehouse import FIRST_LOAD, SECOND_LOAD, Row, image, label

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
HOSTILE = "<img src=x onerror=alert(1)>\"'&{{ 7*7 }}</style></title>\x1b[2J\u202e😀"
VOID = {"meta", "link", "br", "img", "input", "hr"}


class Page(HTMLParser):
    """What a browser would see: text, elements, attributes; tags must nest."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.text, self.tags, self.attributes = "", [], []  # type: ignore[var-annotated]
        self.open: list[str] = []
        self.feed(text)
        self.close()
        assert not self.open, f"not closed: {self.open}"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.text += " "
        self.tags.append(tag)
        self.attributes += [(tag, name, value) for name, value in attrs]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        assert self.open, f"</{tag}> closes nothing"
        assert self.open.pop() == tag
        self.text += " "

    def handle_data(self, data: str) -> None:
        if not self.open or self.open[-1] != "style":
            self.text += data

    @property
    def words(self) -> str:
        return " ".join(self.text.split())


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    folder = tmp_path_factory.mktemp("report")
    warehouse = small_warehouse.small(folder / "warehouse.duckdb")
    files = write_report(warehouse, folder / "pages", load_id=SECOND_LOAD, now=NOW)
    assert files.load is not None
    return {
        "index": files.index.read_text(encoding="utf-8"),
        "load": files.load.read_text(encoding="utf-8"),
    }


@pytest.fixture(scope="module")
def hostile_pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Every text that comes from outside is hostile."""
    labels = [
        label(1, "x", 90.0, unknown_label=True) | {"l1": None, "v7_l1": None, "name": HOSTILE},
        label(3, "x > y > z", 90.0) | {"v7_l1": HOSTILE, "v7_l2": HOSTILE, "v7_l3": HOSTILE},
    ]
    failed = image(SECOND_LOAD, 2, HOSTILE, status="failed", error_code=HOSTILE, error_message=HOSTILE * 9)
    tables = small_warehouse.tables(
        [(image(SECOND_LOAD, 1, HOSTILE, labels=labels, content_type=HOSTILE), labels), (failed, [])]
    )
    texts = dict.fromkeys(("run_key", "source", "adapter", "model_version"), HOSTILE)
    load: Row = {**small_warehouse.LOADS[1], **texts, "anomalies": 1, "superseded": 1}
    job: Row = {
        "load_id": SECOND_LOAD,
        "dt": load["dt"],
        "manifest_id": HOSTILE,
        "status": HOSTILE,
        "failure_code": HOSTILE,
        "failure_message": HOSTILE,
    }
    folder = tmp_path_factory.mktemp("hostile")
    warehouse = small_warehouse.write(folder / "w.duckdb", {**tables, "loads": [load], "jobs": [job]})
    files = write_report(warehouse, folder, load_id=SECOND_LOAD, now=NOW)
    assert files.load is not None
    return {
        "index": files.index.read_text(encoding="utf-8"),
        "load": files.load.read_text(encoding="utf-8"),
    }


@pytest.mark.parametrize("which", ["index", "load"])
def test_hostile_text_is_shown_and_never_acts(which: str, hostile_pages: dict[str, str]) -> None:
    text = hostile_pages[which]
    page = Page(text)
    assert "<img src=x onerror=alert(1)>\"'&{{ 7*7 }}</style></title>" in page.text
    assert "😀" in page.text
    assert not {"img", "script", "iframe", "object", "embed", "form", "base"} & set(page.tags)
    assert not [name for _, name, _ in page.attributes if name.startswith("on")]
    assert not set(text) & set("\x1b\u202e")
    assert page.tags.count("title") == 1 + text.count(
        "</title></"
    )  # the page's own, and the charts' tooltips


@pytest.mark.parametrize("which", ["index", "load"])
def test_nothing_is_loaded_from_elsewhere_and_no_script_runs(which: str, pages: dict[str, str]) -> None:
    page = Page(pages[which])
    addresses = [value or "" for _, name, value in page.attributes if name in {"href", "src", "xlink:href"}]
    assert all(
        value == "data:," or re.fullmatch(r"(\.\./|loads/)[\w.-]+\.html", value) for value in addresses
    )
    assert "script" not in page.tags
    assert not [name for _, name, _ in page.attributes if name == "style"]  # the policy would refuse it
    assert "@import" not in pages[which]
    assert "url(" not in pages[which]
    policies = [value for tag, name, value in page.attributes if tag == "meta" and name == "content"]
    assert any(value and value.startswith("default-src 'none'; style-src 'sha256-") for value in policies)


def test_from_a_disk_a_loads_page_names_the_command_that_shows_its_images(pages: dict[str, str]) -> None:
    assert f"moderation console --job {SECOND_LOAD}" in Page(pages["load"]).words
    assert "console" not in Page(pages["index"]).words


def test_the_policy_names_the_style_sheet_that_is_in_the_page(pages: dict[str, str]) -> None:
    import base64  # noqa: PLC0415 - this test alone
    import hashlib  # noqa: PLC0415

    style = pages["index"].split("<style>")[1].split("</style>")[0]
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    assert f"'sha256-{digest}'" in pages["index"]


def test_the_figures_over_all_loads_are_those_counted_by_hand(pages: dict[str, str]) -> None:
    words = Page(pages["index"]).words
    assert "Images moderated 7 9 billed" in words
    assert "Flagged 71.4% 5 images" in words  # a3 a4 a7 a8 b1 of 7
    assert "Failed 2 22.2% of those tried" in words
    assert "Not attempted 1" in words
    assert "Cost $0.0082 $0.9111 per 1,000" in words
    assert "16 – 23 Nov 2026, 2 loads" in words


def test_the_figures_of_one_load_are_its_own(pages: dict[str, str]) -> None:
    words = Page(pages["load"]).words
    assert "Images moderated 4 4 billed" in words
    assert "Flagged 75.0% 3 images" in words
    assert "6 objects were listed Moderated 4 66.7% Failed 1 16.7%" in words
    assert "Least confidence –" in words


def test_the_tree_shows_three_levels_and_what_is_unknown(pages: dict[str, str]) -> None:
    words = Page(pages["index"]).words
    assert "Violence 3 42.9% Weapons 2 28.6% Graphic Violence 1 14.3% Weapon Violence 1 14.3%" in words
    assert "Not In The Taxonomy not in taxonomy 7.0 1 14.3%" in words


def test_failures_have_a_remedy_and_an_example(pages: dict[str, str]) -> None:
    words = Page(pages["index"]).words
    remedy = error_codes.remedy("InvalidImageFormat")
    assert f"InvalidImageFormat 1 {remedy} s3://archive/a5.webp" in words


def test_each_chart_has_a_table_and_each_mark_its_figure(pages: dict[str, str]) -> None:
    page = Page(pages["index"])
    assert page.tags.count("details") == 4
    assert "16 Nov 2026: 4 moderated" in page.words
    assert "16 Nov 2026: 75.0%" in page.words
    assert all(
        value == "true" for tag, name, value in page.attributes if tag == "svg" and name == "aria-hidden"
    )


def test_the_page_is_of_a_size_to_mail(pages: dict[str, str]) -> None:
    assert len(pages["index"].encode()) < 250_000


def test_same_warehouse_gives_the_same_bytes(tmp_path: Path) -> None:
    warehouse = small_warehouse.small(tmp_path / "w.duckdb")
    first = write_report(warehouse, tmp_path / "a", now=NOW).index.read_bytes()
    drawings.draw_anew()
    assert write_report(warehouse, tmp_path / "b", now=NOW).index.read_bytes() == first


def test_the_index_links_the_loads_whose_pages_are_there(tmp_path: Path) -> None:
    warehouse = small_warehouse.small(tmp_path / "w.duckdb")
    write_report(warehouse, tmp_path / "pages", load_id=FIRST_LOAD, now=NOW)
    write_report(warehouse, tmp_path / "pages", load_id=SECOND_LOAD, now=NOW)
    text = (tmp_path / "pages" / "index.html").read_text(encoding="utf-8")
    links = set(re.findall(r'href="(loads/[^"]+)"', text))
    assert links == {f"loads/{FIRST_LOAD}.html", f"loads/{SECOND_LOAD}.html"}
    assert all((tmp_path / "pages" / link).is_file() for link in links)
    assert sorted(path.suffix for path in (tmp_path / "pages").rglob("*.*")) == [".html"] * 3


def test_an_empty_warehouse_gives_a_page_that_says_so(tmp_path: Path) -> None:
    warehouse = small_warehouse.write(tmp_path / "w.duckdb", {})
    page = Page(write_report(warehouse, tmp_path, now=NOW).index.read_text(encoding="utf-8"))
    assert "Nothing has been published yet." in page.words
    assert "No image was flagged." in page.words


def test_a_load_where_everything_failed_has_a_page(tmp_path: Path) -> None:
    failed = image(FIRST_LOAD, 1, "a.gif", status="failed", error_code="InvalidImageFormat")
    loads = [small_warehouse.LOADS[0] | {"moderated": 0, "billed": 0, "cost_usd": 0.0}]
    warehouse = small_warehouse.write(tmp_path / "w.duckdb", {"images": [failed], "loads": loads})
    files = write_report(warehouse, tmp_path, load_id=FIRST_LOAD, now=NOW)
    assert files.load is not None
    for path in (files.index, files.load):
        assert "Failed 1 100.0% of those tried" in Page(path.read_text(encoding="utf-8")).words


def of_models(folder: Path, *models: str, load_id: str | None = None) -> str:
    """The page over one load of a billed image a model, or the load's own."""
    answered = [
        (image(FIRST_LOAD, n, f"{n}.jpg", labels=[], model_version=name), []) for n, name in enumerate(models)
    ]
    job: Row = {"load_id": FIRST_LOAD, "dt": small_warehouse.DAYS[FIRST_LOAD], "status": "SUCCEEDED"}
    jobs = [
        job | {"manifest_id": f"m{n}", "model_version": name, "billed": 1, "cost_usd": 0.001}
        for n, name in enumerate(models)
    ]
    load: Row = small_warehouse.LOADS[0] | {"billed": len(models), "cost_usd": 0.001 * len(models)}
    tables = {**small_warehouse.tables(answered), "loads": [load], "jobs": jobs}
    warehouse = small_warehouse.write(folder / "w.duckdb", tables)
    files = write_report(warehouse, folder, load_id=load_id, now=NOW)
    return Page((files.load or files.index).read_text(encoding="utf-8")).words


def test_answers_of_the_offline_model_are_told_as_billed_by_nobody(tmp_path: Path) -> None:
    words = of_models(tmp_path, "offline-1.0", "offline-1.0")
    assert "Offline model. All 2 answers are the offline model's (offline-1.0)" in words
    assert "Images moderated 2 0 billed" in words
    assert "Price on AWS $0.0020 nothing of it was billed" in words
    assert "offline-1.0 2 0 0.0% $0.0020 nothing, the offline model" in words


def test_models_are_told_apart_and_not_added_up(tmp_path: Path) -> None:
    words = of_models(tmp_path, "7.0", "offline-1.0", "7.0")
    assert "Offline model. 1 of 3 answers are the offline model's" in words
    assert "Images moderated 3 2 billed" in words
    assert "7.0 2 0 0.0% $0.0020 2 offline-1.0 1 0 0.0% $0.0010 nothing" in words


def test_the_page_of_a_load_names_the_models_that_answered_and_not_the_least_that_counts(
    tmp_path: Path,
) -> None:
    assert "Model 7.1 and 7.2" in of_models(tmp_path, "7.2", "7.1", "7.2", load_id=FIRST_LOAD)


def test_amazons_own_answers_need_no_notice(tmp_path: Path) -> None:
    words = of_models(tmp_path, "7.0")
    assert "ffline" not in words
    assert "By model" not in words


def test_a_warehouse_that_an_earlier_release_has_loaded_has_its_pages(tmp_path: Path) -> None:
    warehouse = small_warehouse.small(tmp_path / "w.duckdb")
    with duckdb.connect(str(warehouse)) as connection:
        for view in ("labels", *verdict_views.VIEWS, *in_use.view_names()):
            connection.execute(f"DROP VIEW IF EXISTS {view}")
        connection.execute("ALTER TABLE images DROP COLUMN origin")
        connection.execute("ALTER TABLE loads DROP COLUMN refused_before")
    files = write_report(warehouse, tmp_path, load_id=FIRST_LOAD, now=NOW)
    assert files.load is not None
    assert "Moderated or refused before" in Page(files.load.read_text(encoding="utf-8")).words


def test_a_flood_of_invented_labels_does_not_flood_the_page(tmp_path: Path) -> None:
    labels = [
        label(1, f"invented {n}", 90.0, unknown_label=True) | {"v7_l1": None, "l1": None} for n in range(200)
    ]
    tables = small_warehouse.tables([(image(FIRST_LOAD, 1, "a.jpg", labels=labels), labels)])
    warehouse = small_warehouse.write(tmp_path / "w.duckdb", {**tables, "loads": [small_warehouse.LOADS[0]]})
    text = write_report(warehouse, tmp_path, now=NOW).index.read_text(encoding="utf-8")
    assert "176 more categories are not shown." in text
    assert len(text) < 600_000


def test_an_unknown_load_is_refused_and_nothing_written(tmp_path: Path) -> None:
    warehouse = small_warehouse.small(tmp_path / "w.duckdb")
    with pytest.raises(WarehouseError, match="there is no load 'other'"):
        write_report(warehouse, tmp_path / "pages", load_id="other", now=NOW)
    assert not (tmp_path / "pages").exists()


def test_another_database_is_named_as_such(tmp_path: Path) -> None:
    with duckdb.connect(str(tmp_path / "other.duckdb")) as connection:
        connection.execute("CREATE TABLE cats (name TEXT)")
    with pytest.raises(WarehouseError, match="not this pipeline's warehouse"):
        write_report(tmp_path / "other.duckdb", tmp_path / "pages", now=NOW)


def test_a_load_id_cannot_leave_the_folder() -> None:
    assert "/" not in load_file("../../etc/passwd")
    assert load_file(FIRST_LOAD) == f"{FIRST_LOAD}.html"


def test_the_command_prints_what_it_wrote(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MODERATION_WAREHOUSE", str(small_warehouse.small(tmp_path / "w.duckdb")))
    arguments = ["report-page", "--folder", str(tmp_path / "out"), "--load", FIRST_LOAD]
    assert main.main(arguments) == 0
    assert capsys.readouterr().out.split() == [
        str(tmp_path / "out" / "index.html"),
        str(tmp_path / "out" / "loads" / f"{FIRST_LOAD}.html"),
    ]
    (tmp_path / "file").write_text("")
    assert main.main(["report-page", "--folder", str(tmp_path / "file")]) == 2
    assert str(tmp_path / "file") in capsys.readouterr().err


@pytest.mark.parametrize(
    ("span", "step"), [(0, "day"), (92, "day"), (93, "week"), (732, "week"), (733, "month"), (4000, "month")]
)
def test_long_histories_are_shown_in_fewer_bars(span: int, step: str, tmp_path: Path) -> None:
    first, last = date(2026, 11, 20) - timedelta(days=span), date(2026, 11, 20)
    rows = [
        image(FIRST_LOAD, 1, "a.jpg", dt=first),
        image(FIRST_LOAD, 2, "b.jpg", dt=last),
    ]
    warehouse = small_warehouse.write(tmp_path / "w.duckdb", {"images": rows})
    with open_warehouse(warehouse) as connection:
        report = data.read(connection)
    assert report.step == step
    assert sum(period.moderated for period in report.periods) == 2
    drawing = charts.volume(report.periods, step, width=500, height=200)
    assert drawing.count("<title>") == len(report.periods)


def test_weeks_are_named_by_their_monday() -> None:
    mondays = [date(2026, 8, 31) + timedelta(days=7 * number) for number in range(13)]
    periods = [Period(monday, moderated=1, flagged=1) for monday in mondays]
    for draw in (charts.volume, charts.flag_rate):
        shown = set(re.findall(r">(\d+ [A-Z][a-z]{2})</text>", draw(periods, "week", width=1000, height=200)))
        assert len(shown) > 3
        assert shown <= {f"{monday.day} {monday:%b}" for monday in mondays}


def test_no_bar_and_no_point_stands_above_the_last_number_of_the_axis() -> None:
    day = Period(date(2026, 11, 22), moderated=22, flagged=5, cost_usd=0.022)
    assert ">25</text>" in charts.volume([day], "day", width=1000, height=200)
    assert ">25%</text>" in charts.flag_rate([day], "day", width=500, height=200)
    assert ">$0.0250</text>" in charts.cost([day], "day", width=500, height=200)


def test_the_middle_of_a_confidence_axis_is_where_a_step_begins() -> None:
    drawing = charts.histogram([(55, 3), (95, 4)], lowest=55, width=200, height=84)
    assert re.findall(r">(\d+%)</text>", drawing) == ["50%", "75%", "100%"]


def test_only_what_is_owed_is_left_to_the_next_run(pages: dict[str, str]) -> None:
    assert "Not attempted 1 the next run takes them" in Page(pages["index"]).words
    assert "Not attempted 0 nothing is owed" in Page(pages["load"]).words


@pytest.mark.parametrize("zone", ["America/Los_Angeles", "Pacific/Auckland"])
def test_days_are_utc_wherever_the_page_is_written(zone: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", zone)
    drawing = charts.volume([Period(date(2026, 11, 22), moderated=1)], "day", width=1000, height=200)
    assert ">22 Nov</text>" in drawing
    assert ">23 Nov</text>" not in drawing


@pytest.mark.parametrize(
    ("part", "whole", "text"),
    [
        (0, 0, "–"),
        (0, 5, "0.0%"),
        (1, 10_000, "<0.1%"),
        (9_999, 10_000, ">99.9%"),
        (5, 5, "100.0%"),
        (1, 3, "33.3%"),
    ],
)
def test_a_share_is_never_rounded_to_none_or_all(part: int, whole: int, text: str) -> None:
    assert wording.percent(part, whole) == text


@pytest.mark.parametrize(
    ("amount", "text"),
    [(0, "$0.00"), (0.001, "$0.0010"), (0.9999999, "$1.00"), (12.345, "$12.35"), (1234567, "$1,234,567.00")],
)
def test_dollars_have_the_digits_that_matter(amount: float, text: str) -> None:
    assert wording.dollars(amount) == text


@pytest.mark.parametrize(
    ("first", "last", "text"),
    [
        (date(2026, 11, 1), date(2026, 11, 1), "1 Nov 2026"),
        (date(2026, 11, 1), date(2026, 11, 22), "1 – 22 Nov 2026"),
        (date(2026, 9, 30), date(2026, 11, 22), "30 Sep – 22 Nov 2026"),
        (date(2025, 12, 31), date(2026, 1, 1), "31 Dec 2025 – 1 Jan 2026"),
    ],
)
def test_a_range_of_days_says_each_part_once(first: date, last: date, text: str) -> None:
    assert wording.days(first, last) == text
