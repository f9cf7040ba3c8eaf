import re

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from orchestration.publishing import sites
from orchestration.publishing.sites import DASHBOARDS, SiteError, build_site

PAGES = sorted((DASHBOARDS / "pages").rglob("*.md"))
SOURCES = sorted((DASHBOARDS / "sources").glob("*/*.sql"))


def _queries(page):
    return re.findall(r"```sql (\w+)\n(.*?)```", page.read_text(), re.DOTALL)


def _build(audience, folder):
    return build_site(
        audience, folder, folder / "out", work=folder / "work", progress=str
    )


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A dashboards folder of one source query, where nothing needs installing."""
    (tmp_path / "sources" / "leaders").mkdir(parents=True)
    (tmp_path / "sources" / "macros.sql").write_text("create macro word(x) as x")
    monkeypatch.setattr(sites, "DASHBOARDS", tmp_path)
    return tmp_path


@pytest.fixture
def published(tmp_path):
    folder = tmp_path / "published"
    folder.mkdir()
    table = pa.table({"n": pa.array([3, None], pa.int64()), "ok": [True, None]})
    pq.write_table(table, folder / "funnel.parquet")
    return folder


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_page_queries_select_rows_and_never_aggregate(page):
    """Suppression holds per row: a sum in the browser would undo it."""
    for name, query in _queries(page):
        assert not re.search(
            r"\b(sum|avg|count|min|max|median|group\s+by|over)\b", query, re.IGNORECASE
        ), name


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_page_queries_read_tables_that_their_audience_has(page):
    owner = page.parent.name
    folders = {"shared", owner}
    known = {path.stem for path in SOURCES if path.parent.name in folders}

    for name, query in _queries(page):
        assert set(re.findall(r"published\.(\w+)", query)) <= known, name


def test_every_page_states_its_generation():
    assert all("<Provenance" in page.read_text() for page in PAGES)


def test_a_source_query_that_fails_is_named(project, published):
    (project / "sources" / "leaders" / "waits.sql").write_text(
        "select days from funnel"
    )

    with pytest.raises(SiteError, match=r"sources/leaders/waits\.sql"):
        list(sites._tables("leaders", published))


def test_tables_reach_the_site_as_text_numbers_and_flags(project, published):
    (project / "sources" / "leaders" / "funnel.sql").write_text(
        "select n, ok, date '2026-10-20' as as_of, 1.50 as price from funnel"
    )

    [(name, table)] = sites._tables("leaders", published)

    assert name == "funnel"
    assert table.schema.types == [pa.float64(), pa.bool_(), pa.string(), pa.float64()]
    assert table["as_of"].to_pylist() == ["2026-10-20", "2026-10-20"]


def test_equal_tables_give_equal_bytes():
    table = pa.table({"stage": ["onsite"]})

    assert sites._compressed(table) == sites._compressed(pa.table(table.to_pydict()))


def test_a_page_allows_its_own_inline_scripts_and_no_others(tmp_path):
    page = tmp_path / "index.html"
    page.write_text("<html><head><script>let a = 1</script></head></html>")

    sites._seal(page, tmp_path, "leaders")

    html = page.read_text()
    # printf 'let a = 1' | openssl dgst -sha256 -binary | base64
    assert "'sha256-LAfYd7pbFUgwfQu8b4q135PeTG2z+/coPEUYCd74eCQ='" in html
    assert html.index("Content-Security-Policy") < html.index("<script>")


def test_a_page_with_a_failed_query_is_refused(tmp_path):
    page = tmp_path / "index.html"
    page.write_text("<head></head>Catalog Error: Table with name x does not exist")

    with pytest.raises(SiteError, match=r"index\.html.*Catalog Error"):
        sites._seal(page, tmp_path, "leaders")


def test_a_site_with_too_much_data_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(sites, "MAX_DATA_BYTES", 10)
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "funnel.parquet").write_bytes(b"x" * 11)

    with pytest.raises(SiteError, match="the site's data"):
        sites._measure("leaders", tmp_path, 1, started=0.0)


def test_without_node_the_message_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))

    with pytest.raises(SiteError, match="install Node 20"):
        _build("leaders", tmp_path)


def test_an_audience_that_does_not_exist_is_refused(tmp_path):
    with pytest.raises(SiteError, match="everyone"):
        _build("everyone", tmp_path)


def test_a_build_that_hangs_is_ended_with_its_children(tmp_path):
    code, log = sites._run(["sh", "-c", "sleep 60 & wait"], cwd=tmp_path, seconds=0)

    assert code == 1
    assert "stopped after 0 s" in log
