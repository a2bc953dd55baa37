"""Every place that the product writes to, what each damage to it comes to, and why that is so.

A row here is a row of ``docs/damaged-state.md`` and a test for each damage. Who writes to a new place adds
its row: a test runs the pipeline and names what no row matches. ``make docs`` writes the page.
"""

# ruff: noqa: E501 - a table

from __future__ import annotations

import re
from dataclasses import dataclass

from support.damages import DAMAGES, DELETED, ONE_BIT

STOPPED, HEALED, HARMLESS, OPEN = "stopped", "healed", "harmless", "open"
EITHER = "one of these"
_OF_LETTER = {"S": STOPPED, "H": HEALED, "N": HARMLESS, "E": EITHER, "O": OPEN}
_RUN, _LOAD = r"[^/]+", r"\d{8}T\d{6}Z-[0-9a-f]{12}"
_PLAN = rf"s3:work/runs/{_RUN}/plan-\d+/"
_OUTPUT = rf"{_PLAN}output/[^/]+/detect-[0-9a-f]+/"


@dataclass(frozen=True, kw_only=True)
class Place:
    """One kind of file.

    :ivar pattern: of its names: ``s3:`` and the key, or ``disk:`` and the path.
    :ivar kind: how it is written, for `support.damages`; "" for what tells no release.
    :ivar fates: what each of the damages comes to, a letter each; ``-`` where there is no such damage.
    :ivar why: that is so.
    :ivar moment: of which state of `support.written_world` it is damaged.
    :ivar then: what is done besides going on with the run.
    """

    name: str
    pattern: str
    kind: str
    fates: str
    why: str
    moment: str = "published"
    then: str = ""

    def matches(self, name: str) -> bool:
        """Whether the file is one of these."""
        return re.fullmatch(self.pattern, name) is not None


PLACES = (
    Place(
        name="plan",
        pattern=rf"{_PLAN}plan\.json",
        kind="sealed",
        fates="HSSSN",
        why="sealed, and of one place; without it the run is planned anew, and what is answered is not asked again",
        moment="half answered",
    ),
    Place(
        name="list of inputs",
        pattern=rf"{_PLAN}inputs-[0-9a-f]+\.parquet",
        kind="parquet",
        fates="SSSSS",
        why="the plan holds its SHA-256",
        moment="half answered",
    ),
    Place(
        name="answers of earlier loads",
        pattern=rf"{_PLAN}known(-labels)?-[0-9a-f]+\.parquet",
        kind="parquet",
        fates="SSSSS",
        why="the plan holds the SHA-256 of each; read when the load is built",
        moment="half answered",
    ),
    Place(
        name="list of what is left out",
        pattern=rf"{_PLAN}left-out-[0-9a-f]+\.parquet",
        kind="parquet",
        fates="NNNNN",
        why="only the completion report reads it, and says that it is lost",
        moment="half answered",
    ),
    Place(
        name="manifest",
        pattern=rf"{_PLAN}manifests/[^/]+\.jsonl",
        kind="lines",
        fates="SSSSS",
        why="its name holds its digest; checked before the first paid call",
        moment="half answered",
    ),
    Place(
        name="choice of backend",
        pattern=rf"{_PLAN}backend\.json",
        kind="sealed",
        fates="HSSNN",
        why="sealed; chosen again when lost",
        moment="half answered",
    ),
    Place(
        name="claim on images",
        pattern=rf"s3:work/claims/{_LOAD}-[0-9a-f]+\.json",
        kind="sealed",
        fates="NSSHH",
        why="sealed; a run renews its own, with what it knows of it",
        moment="half answered",
    ),
    Place(
        name="owner of a manifest",
        pattern=rf"{_OUTPUT}owner\.json",
        kind="json",
        fates="HHHHH",
        why="a lock that tells nothing runs out after ten minutes",
        moment="half answered",
    ),
    Place(
        name="answers so far, in S3",
        pattern=rf"{_OUTPUT}checkpoint/part-[0-9a-f]+\.ckpt",
        kind="records",
        fates="NSSSH",
        why="a checksum a line; the worker's disk holds them too",
        moment="half answered",
    ),
    Place(
        name="answers so far, on disk",
        pattern=r"disk:spool/detect-[0-9a-f]+\.spool",
        kind="records",
        fates="NHSSH",
        why="a checksum a line; S3 holds them too",
        moment="half answered",
    ),
    Place(
        name="share of the calls' rate",
        pattern=r"s3:work/rates/[^/]+/[0-9a-f]+\.json",
        kind="json",
        fates="EEEEE",
        why="a share that tells nothing runs out after seconds",
        moment="half answered",
        then="share the rate",
    ),
    Place(
        name="raw answers",
        pattern=rf"{_OUTPUT}results\.jsonl",
        kind="lines",
        fates="SSOSN",
        why="held against the manifest before anything is published, and what is lost stops it; Rekognition gives no "
        "checksum of them, so a bit within a number or a name is noticed from their first reading on, by the ETag "
        "noted then",
        moment="answered",
    ),
    Place(
        name="summary of a manifest",
        pattern=rf"{_OUTPUT}manifest-summary\.json",
        kind="json",
        fates="SNNNN",
        why="the answers decide; what only it knew is owed",
        moment="answered",
    ),
    Place(
        name="marker of a finished manifest",
        pattern=rf"{_OUTPUT}outcome\.ckpt",
        kind="records",
        fates="HSSSS",
        why="a checksum; without it the files beside it are taken for what they are",
        moment="answered",
    ),
    Place(
        name="plan of a published load",
        pattern=rf"{_PLAN}plan\.json",
        kind="sealed",
        fates="SSSSN",
        why="read by a rebuild alone, which switches nothing unless every count agrees",
        then="rebuild",
    ),
    Place(
        name="its list of inputs",
        pattern=rf"{_PLAN}inputs-[0-9a-f]+\.parquet",
        kind="parquet",
        fates="SSSSS",
        why="as above",
        then="rebuild",
    ),
    Place(
        name="its manifest",
        pattern=rf"{_PLAN}manifests/[^/]+\.jsonl",
        kind="lines",
        fates="NNNNN",
        why="the list of inputs says the same",
        then="rebuild",
    ),
    Place(
        name="its raw answers",
        pattern=rf"{_OUTPUT}results\.jsonl",
        kind="lines",
        fates="SSSSS",
        why="the ETag of their first reading is noted, and that of what an erasure leaves",
        then="rebuild",
    ),
    Place(
        name="note of what its raw answers were",
        pattern=rf"{_PLAN}raw-answers\.json",
        kind="sealed",
        fates="HSSHN",
        why="sealed; whoever reads the answers next notes them as they are then",
        then="rebuild",
    ),
    Place(
        name="its summary",
        pattern=rf"{_OUTPUT}manifest-summary\.json",
        kind="json",
        fates="SSNNN",
        why="as above",
        then="rebuild",
    ),
    Place(
        name="its marker",
        pattern=rf"{_OUTPUT}outcome\.ckpt",
        kind="records",
        fates="NNNNN",
        why="the record of the manifest says the same",
        then="rebuild",
    ),
    Place(
        name="record of a manifest",
        pattern=rf"{_PLAN}jobs/[^/]+\.json",
        kind="sealed",
        fates="SSSSN",
        why="sealed",
        then="rebuild",
    ),
    Place(
        name="mark of a published plan",
        pattern=rf"{_PLAN}published\.json",
        kind="sealed",
        fates="NNNNN",
        why="the table `loads` decides",
        then="rebuild",
    ),
    Place(
        name="lock of a publish",
        pattern=rf"{_PLAN}publish-lock\.json",
        kind="json",
        fates="NNNNN",
        why="free by now",
    ),
    Place(
        name="lock of planning",
        pattern=r"s3:work/locks/plan\.json",
        kind="json",
        fates="HHHHH",
        why="a lock that tells nothing runs out after ten minutes",
    ),
    Place(
        name="lock of the tables",
        pattern=r"s3:work/locks/tables-[0-9a-f]+\.json",
        kind="json",
        fates="NNNNN",
        why="free by now",
    ),
    Place(
        name="archive",
        pattern=r"s3:work/archives/[^/]+/archive\.json",
        kind="sealed",
        fates="SSSSH",
        why="sealed, and of one place; started again under its name, it goes on where it was",
        moment="archive begun",
        then="archive",
    ),
    Place(
        name="chunk of an archive",
        pattern=r"s3:work/archives/[^/]+/chunks/\d{5}-[0-9a-f]+\.parquet",
        kind="parquet",
        fates="SSSSS",
        why="its name holds its digest",
        moment="archive begun",
        then="archive",
    ),
    Place(
        name="lock of archives",
        pattern=r"s3:work/locks/archives\.json",
        kind="json",
        fates="HHHHH",
        why="a lock that tells nothing runs out after ten minutes",
        moment="archive begun",
        then="archive",
    ),
    Place(
        name="run's report",
        pattern=rf"{_PLAN}report\.txt",
        kind="text",
        fates="NNNNN",
        why="for people alone",
    ),
    Place(
        name="completion report, JSON",
        pattern=rf"{_PLAN}report\.json",
        kind="json",
        fates="NNNNN",
        why="for people alone",
    ),
    Place(
        name="completion report, page",
        pattern=rf"{_PLAN}report\.html",
        kind="text",
        fates="NNNNN",
        why="for people alone",
    ),
    Place(
        name="secret and names of erasures",
        pattern=r"s3:work/erased/key\.json",
        kind="sealed",
        fates="SSSSN",
        why="sealed; without it nobody knows what was erased, and it would come back",
    ),
    Place(
        name="tombstones of an erasure, and how far it is",
        pattern=r"s3:work/erased/[0-9a-f]{16}\.json",
        kind="sealed",
        fates="SSSSN",
        why="sealed, and named in the file above",
    ),
    Place(
        name="receipt of an erasure",
        pattern=r"s3:work/erased/[0-9a-f]{16}-receipt\.(json|txt)",
        kind="text",
        fates="NNNNN",
        why="for people alone",
    ),
    Place(
        name="note that lines of answers were erased",
        pattern=rf"{_OUTPUT}erased\.json",
        kind="json",
        fates="NNNNN",
        why="for people alone",
    ),
    Place(
        name="lock of erasures",
        pattern=r"s3:work/locks/erase\.json",
        kind="json",
        fates="NNNNN",
        why="free by now",
    ),
    Place(
        name="register of published loads",
        pattern=rf"s3:work/published/{_LOAD}",
        kind="sealed",
        fates="NNNNN",
        why="its name alone counts, and the catalog knows the load too",
    ),
    Place(
        name="beginning of the register",
        pattern=r"s3:work/published/complete",
        kind="sealed",
        fates="HNNNN",
        why="its name alone counts",
    ),
    Place(
        name="index of the ledger",
        pattern=r"s3:work/ledger/tables-[0-9a-f]+/index\.json",
        kind="sealed",
        fates="HHHHN",
        why="sealed, and of one place; the tables say the same, and the next run makes it anew",
    ),
    Place(
        name="part of the ledger",
        pattern=r"s3:work/ledger/tables-[0-9a-f]+/[0-9a-f]{32}\.parquet",
        kind="parquet",
        fates="NNNNN",
        why="the index holds its digest; the tables say the same, and the next run makes it anew",
    ),
    Place(
        name="SHA-256 of a load's files",
        pattern=rf"s3:work/checksums/tables-[0-9a-f]+/{_LOAD}\.json",
        kind="sealed",
        fates="EEEEE",
        why="`moderation verify` alone reads it, and stops where a file of it was not compacted",
        then="verify",
    ),
    Place(
        name="SHA-256 of a compacted file, of one of verdicts",
        pattern=r"s3:work/checksums/tables-[0-9a-f]+/(compacted|gone|verdicts)-[^/]+\.json",
        kind="sealed",
        fates="NSSEN",
        why="`moderation verify` alone reads it",
        then="verify",
    ),
    Place(
        name="index of report pages",
        pattern=r"(s3:work/report|disk:report)/index\.html",
        kind="text",
        fates="NNNNN",
        why="for people alone",
    ),
    Place(
        name="list of runs",
        pattern=r"(s3:work/report|disk:report)/runs\.html",
        kind="text",
        fates="HHHHH",
        why="written anew by every run",
    ),
    Place(
        name="page of the review's numbers",
        pattern=r"s3:work/report/numbers\.html",
        kind="text",
        fates="NNNNN",
        why="for people alone; each week's is written over it",
        moment="verdicts published",
    ),
    Place(
        name="page of a load",
        pattern=rf"(s3:work/report|disk:report)/loads/{_LOAD}\.html",
        kind="text",
        fates="NNNNN",
        why="for people alone; `moderation report-page` draws it again",
    ),
    Place(
        name="completion report among the pages",
        pattern=rf"(s3:work/report|disk:report)/completion/{_LOAD}/report\.(html|json)",
        kind="text",
        fates="NNNNN",
        why="for people alone",
    ),
    Place(
        name="summary of a run",
        pattern=rf"s3:work/report/completion/{_LOAD}/summary\.json",
        kind="json",
        fates="NNNNN",
        why="a run whose summary is damaged is left out of the list of runs",
    ),
    Place(
        name="published images",
        pattern=r"disk:tables/images/dt=[^/]+/[^/]+\.parquet",
        kind="parquet",
        fates="SSSSS",
        why="checksums of pages and footer; what has lost rows stops a plan",
    ),
    Place(
        name="published labels",
        pattern=r"disk:tables/labels_l\d/content_type=[^/]+/dt=[^/]+/[^/]+\.parquet",
        kind="parquet",
        fates="SSSSS",
        why="checksums of pages and footer",
    ),
    Place(
        name="published jobs and anomalies",
        pattern=r"disk:tables/(jobs|anomalies)/dt=[^/]+/[^/]+\.parquet",
        kind="parquet",
        fates="SSSSS",
        why="checksums of pages and footer",
    ),
    Place(
        name="published loads",
        pattern=r"disk:tables/loads/dt=[^/]+/[^/]+\.parquet",
        kind="parquet",
        fates="SSSSS",
        why="checksums of pages and footer",
    ),
    Place(
        name="Iceberg metadata of images",
        pattern=r"disk:tables/_iceberg/images/metadata/\d+-[^/]+\.metadata\.json",
        kind="iceberg",
        fates="SSESS",
        why="the catalog names it",
    ),
    Place(
        name="Iceberg metadata of other tables",
        pattern=r"disk:tables/_iceberg/(loads|verdicts|gone|jobs|anomalies|labels_l\d)/metadata/\d+-[^/]+\.metadata\.json",
        kind="iceberg",
        fates="SSESS",
        why="the catalog names it",
    ),
    Place(
        name="Iceberg list of manifests",
        pattern=r"disk:tables/_iceberg/[^/]+/metadata/snap-[^/]+\.avro",
        kind="",
        fates="EEEE-",
        why="the metadata names it",
    ),
    Place(
        name="Iceberg manifest",
        pattern=r"disk:tables/_iceberg/[^/]+/metadata/[^/]+-m\d+\.avro",
        kind="",
        fates="EEEE-",
        why="the list names it",
    ),
    Place(
        name="catalog",
        pattern=r"disk:catalog\.db",
        kind="sqlite",
        fates="SSESN",
        why="the register of published loads knows what it must know",
    ),
    Place(
        name="database of verdicts",
        pattern=r"disk:review\.db",
        kind="sqlite",
        fates="SSESN",
        why="how many verdicts there were is noted in S3; its structure is looked through at each start, each row "
        "of verdicts, items and queues has a checksum, `moderation verdicts restore` puts right what one bit "
        "changed, and indexes are made anew from rows that are whole",
        then="review",
    ),
    Place(
        name="note of how many verdicts there are",
        pattern=r"s3:work/review/verdicts\.json",
        kind="sealed",
        fates="HSSSN",
        why="sealed; made anew where it is missing",
        then="review",
    ),
    Place(
        name="list of a standing table's files",
        pattern=r"s3:work/standing/tables-[0-9a-f]+/verdicts\.json",
        kind="sealed",
        fates="HSSSN",
        why="sealed; made anew from the table where it is missing",
        moment="verdicts published",
        then="verdicts",
    ),
    Place(
        name="lock of a standing table",
        pattern=r"s3:work/standing/tables-[0-9a-f]+/(verdicts|review_numbers|shadow_answers|adapters|gone)-lock\.json",
        kind="json",
        fates="HHHHH",
        why="a lock that tells nothing runs out",
        moment="verdicts published",
        then="verdicts",
    ),
    Place(
        name="list of the files with images gone",
        pattern=r"s3:work/standing/tables-[0-9a-f]+/gone\.json",
        kind="sealed",
        fates="HSSSN",
        why="sealed; made anew from the table where it is missing; a run says that it marks none, and goes on",
        then="gone",
    ),
    Place(
        name="images gone at the source",
        pattern=r"disk:tables/gone/dt=[^/]+/[^/]+\.parquet",
        kind="parquet",
        fates="NNNNN",
        why="the next whole listing begins the table anew beside it, and tells the same",
        then="gone",
    ),
    Place(
        name="published verdicts",
        pattern=r"disk:tables/verdicts/dt=[^/]+/[^/]+\.parquet",
        kind="parquet",
        fates="SSSSS",
        why="checksums; `moderation verdicts publish --anew` makes the table from the database of verdicts",
        moment="verdicts published",
        then="verdicts",
    ),
    Place(
        name="warehouse",
        pattern=r"disk:warehouse\.duckdb",
        kind="duckdb",
        fates="HHEHE",
        why="every load brings in what it lacks; columns of a later release stay",
    ),
    Place(
        name="what the warehouse should hold",
        pattern=r"disk:\.warehouse\.duckdb\.published\.json",
        kind="sealed",
        fates="HHHNH",
        why="written anew before every load",
    ),
    Place(
        name="mirror of a load's images",
        pattern=rf"disk:parquet/images/{_LOAD}-[0-9a-f]+\.parquet",
        kind="parquet",
        fates="HHHHH",
        why="every load writes again its own that are not whole; `moderation verify` reads those of all loads",
    ),
    Place(
        name="mirror of other tables",
        pattern=rf"disk:parquet/(loads|jobs|anomalies|labels_l\d)/{_LOAD}-[0-9a-f]+\.parquet",
        kind="parquet",
        fates="HHHHH",
        why="every load writes again what is not whole, or says that it is another's",
    ),
    Place(
        name="mirror of a standing table",
        pattern=r"disk:parquet/(verdicts|review_numbers|shadow_answers|adapters|gone)/all\.parquet",
        kind="parquet",
        fates="HHHHH",
        why="every load writes it again, also one with nothing new",
        moment="verdicts published",
        then="verdicts",
    ),
    Place(
        name="columns of a mirror's table",
        pattern=r"disk:parquet/[^/]+/schema\.parquet",
        kind="parquet",
        fates="HHEEE",
        why="written anew by every load",
    ),
    Place(
        name="console's index of a load",
        pattern=rf"disk:cache/loads/{_LOAD}-[0-9a-f]+\.duckdb",
        kind="duckdb",
        fates="HHEHN",
        why="made again when it does not fit, or when damage is met",
        then="look",
    ),
    Place(
        name="which contents a load has, for the console",
        pattern=rf"disk:cache/loads/{_LOAD}-[0-9a-f]+\.contents",
        kind="parquet",
        fates="HHHHN",
        why="checksums of pages; made again when damaged, and when images of the load were erased",
        then="look",
    ),
    Place(
        name="console's small image",
        pattern=r"disk:cache/images/[0-9a-f]{2}/[0-9a-f]+-\d+\.jpg",
        kind="",
        fates="HHHH-",
        why="its digest stands behind it, and is of its name; made again when lost or damaged",
        then="look",
    ),
)
_SET = r"s3:work/adapters/cards/sets/[0-9a-f]{64}/"
_SHADOW = r"s3:work/adapters/shadow/[0-9a-f]{16}/"
OF_ADAPTERS = (
    Place(
        name="registry of adapters",
        pattern=r"s3:work/adapters/registry\.json",
        kind="sealed",
        fates="SSSSH",
        why="sealed, and of one install; a mark beside it tells that it was there",
    ),
    Place(
        name="mark of the registry",
        pattern=r"s3:work/adapters/registered\.json",
        kind="sealed",
        fates="HHHSN",
        why="the next change of the registry makes it again",
    ),
    Place(
        name="training set",
        pattern=rf"{_SET}set\.json",
        kind="sealed",
        fates="HSSSN",
        why="sealed, and its folder is its digest; made again from the same verdicts",
    ),
    Place(
        name="manifest of a training set",
        pattern=rf"{_SET}(training|testing)\.jsonl",
        kind="lines",
        fates="HHHHH",
        why="written again before a training where it is not what the set says",
    ),
    Place(
        name="images that have tested",
        pattern=r"s3:work/adapters/cards/frozen\.json",
        kind="sealed",
        fates="HSSSN",
        why="sealed, and of one place; the training sets know them too",
    ),
    Place(
        name="copy of an image for a training",
        pattern=r"s3:work/adapters/images/[0-9a-f]+-\d+",
        kind="text",
        fates="HHHHH",
        why="its size and ETag are those in its name, or it is copied again before a training",
    ),
    Place(
        name="sample of a shadow",
        pattern=rf"{_SHADOW}shadow\.json",
        kind="sealed",
        fates="HSSSS",
        why="sealed, and of one shadow; drawn again as it was",
    ),
    Place(
        name="manifest of a shadow",
        pattern=rf"{_SHADOW}m\d+\.jsonl",
        kind="lines",
        fates="HHHHH",
        why="written again before it is asked about where it is not what the sample says",
    ),
    Place(
        name="what a shadow may have paid",
        pattern=rf"{_SHADOW}asked\.json",
        kind="sealed",
        fates="SSSSH",
        why="sealed, and of one shadow; without it nothing more is asked",
    ),
    Place(
        name="lock of an erasure in adapters",
        pattern=r"s3:work/locks/adapters\.json",
        kind="json",
        fates="HHHHH",
        why="a lock that tells nothing runs out",
    ),
)
"""What adapters keep; `tests/integration/damage/test_adapter_places.py` damages these."""
FATES = {
    (place.name, damage): _OF_LETTER[letter]
    for place in (*PLACES, *OF_ADAPTERS)
    for damage, letter in zip(DAMAGES, place.fates, strict=True)
    if letter != "-"
}
CELLS = tuple(
    (place, damage) for place in PLACES for damage in DAMAGES if FATES.get((place.name, damage), OPEN) != OPEN
)
QUICK = {
    ("plan", ONE_BIT),
    ("marker of a finished manifest", DELETED),
    ("summary of a run", ONE_BIT),
    ("published images", ONE_BIT),
    ("catalog", DELETED),
    ("warehouse", ONE_BIT),
}
"""The damages that the short suite tries: one for each way of noticing."""
UNTRIED = {
    "who holds an item of a queue, until when, who may work on a queue": (
        "in no checksum, for they change all the time: an item is handed out sooner, later or to another person; "
        "what was decided and what enters a rate stays as it is"
    ),
    "a file in the mirror of another install and an earlier release": "it is not told apart if it has as many rows; delete the folder and load",
    "one bit of the console's indexes": "a page of the console may fail; delete the cache's folder",
    "the offline Rekognition's database as a whole: jobs, ledger, projects": "a damaged database stops the endpoint at its start",
    "`var/local.json`, `var/services.json`, secrets and ports of the embedded stack": (
        "a damaged file of secrets is named with its remedy; the others are tested where they are written"
    ),
    "the embedded S3 server's own files": "they hold everything else; keep a copy of what you need",
    "Airflow's database": "Airflow's own; ids of jobs are found again without it",
    "whether bulk jobs are open to the account, its quota of calls": "what is damaged is asked again, free of charge",
    "note of why a run stopped, mark of an abandoned plan, plan of a dry run": "sealed as the plan is",
    "position in a journal of S3 Metadata": "sealed; a damaged or lost one is written anew after the journal is read whole, and what is moderated costs nothing",
    "images that are staged as JPEG": "made again by the next run while their load is not published, and deleted then; what cannot be read is a row with Rekognition's own code",
    "uploaded files of a local folder": "an upload that differs by its ETag is made again",
    "tables in S3, in PostgreSQL, Redshift or Glue": "the same readers and checksums; servers mend their own files",
    "the native parser's build": "built again when it does not load; else the parser in Python answers the same",
}
"""Places that no test damages yet, and what is known of each."""


TRAININGS = {
    "what was seen of a training's images": (
        HEALED,
        "each has a checksum; what is not whole is looked at again",
    ),
    "what was seen of images, kept by content": (
        HEALED,
        "a digest of it, of the content and of the networks lies behind each; what is not whole is looked at again",
    ),
    "copy of a training's manifest": (
        HEALED,
        "its SHA-256 lies beside it; what is not whole is fetched again",
    ),
    "what an adapter has learnt": (
        STOPPED,
        "its SHA-256; requests with it fail, delete the version and train another",
    ),
}
"""What damage to the offline endpoint's trainings comes to, whether lost, cut off or of one bit another; the tests
are in ``training`` and ``images`` of ``tests/unit/local_aws/rekognition``."""


def document() -> str:
    """The text of ``docs/damaged-state.md``."""
    return "\n".join((_HEAD, *_rows(), "", _TRAININGS, *_trainings(), "", _NOT_TRIED, *_untried(), ""))


def _rows() -> list[str]:
    head = ["| what | " + " | ".join(DAMAGES) + " | why |", "|---|" + "---|" * (len(DAMAGES) + 1)]
    rows = []
    for place in (*PLACES, *OF_ADAPTERS):
        cells = [FATES.get((place.name, damage), "–") for damage in DAMAGES]
        rows.append(f"| {place.name}{_WHERE.get(place.then, '')} | {' | '.join(cells)} | {place.why} |")
    return head + rows


def _trainings() -> list[str]:
    head = ["| what | lost | cut off | one bit flipped | why |", "|---|---|---|---|---|"]
    return head + [
        f"| {name} | {fate} | {fate} | {fate} | {why} |" for name, (fate, why) in TRAININGS.items()
    ]


def _untried() -> list[str]:
    return [
        "| what | what is known |",
        "|---|---|",
        *(f"| {name} | open: {told} |" for name, told in UNTRIED.items()),
    ]


_WHERE = {"rebuild": ", rebuilt from", "verify": ", verified"}
_HEAD = """\
# Damaged state

What comes of it when something that this software wrote is deleted, emptied, has one bit flipped, is replaced
by the same file of another install, or was written by a newer release. The page is made from
`tests/support/written_places.py` (`make docs`), and each cell that is not open is a test: a run in the
middle, or a published one, is damaged in one place, then gone on with, loaded and asked.

- **stopped**: an error names the file, its load or its table, and what to do. Nothing was paid twice.
- **healed**: the file was made again or is gone as it should; the answers are as before, nothing paid twice.
- **harmless**: the file stays as it is; the answers are as before, nothing paid twice.
- **one of these**: where the damage lies decides which of the three it is.
- **open**: not as it should be, or not known.
"""
_TRAININGS = """\
## Trainings of the offline Rekognition

In its state folder, while they run and after; its tests damage them where they are written.
"""
_NOT_TRIED = """\
## Not tried

These places exist and no test damages them in all five ways yet.
"""

if __name__ == "__main__":
    print(document(), end="")
