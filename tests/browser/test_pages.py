"""What a reader of the two sites sees, and what their files may hold."""

import csv
import gzip
import math
import re

import duckdb
import pytest
from playwright.sync_api import Page, expect

from orchestration.landing.identity import names

TABLE = "article table:visible"
PSEUDONYM = re.compile(rb"\bp_[0-9a-f]{32}\b")


def _rows(site, query):
    with duckdb.connect() as warehouse:
        for parquet in site.published.glob("*.parquet"):
            warehouse.read_parquet(str(parquet)).create_view(parquet.stem)
        return warehouse.sql(query).fetchall()


def _close(page: Page) -> None:
    page.context.close()


def _readable(label: str) -> str:
    return label.replace("_", " ")


def _choose(page: Page, dropdown: str, option: str) -> None:
    page.get_by_role("combobox", name=dropdown).locator("visible=true").click()
    # Longer lists are drawn in part: what is searched for is drawn.
    search = page.locator("[data-cmdk-input]").locator("visible=true")
    expect(page.get_by_role("option").first).to_be_visible()
    if search.count():
        search.fill(option)
    page.get_by_role("option").get_by_text(option, exact=True).click()


def test_no_page_complains_asks_outside_or_runs_what_data_say(audience, visits):
    """A script in the data would open a dialog; an unpatched engine asks outside."""
    for visit in visits[audience]:
        assert visit.watched.complaints == [], visit.path
        assert visit.watched.outside == [], visit.path
        assert visit.watched.dialogs == [], visit.path


def test_headlines_stand_in_the_page_without_javascript(site):
    for path in site.paths:
        page, _ = site.open(path, java_script_enabled=False)

        headline = page.get_by_test_id("headline").first
        expect(headline).to_be_visible()
        assert len(headline.inner_text()) > 20, path
        _close(page)


def test_every_page_says_what_it_found_and_what_it_is_made_from(site, visits):
    [(generation, as_of)] = _rows(site, "select generation, as_of from generation")

    for visit in visits[site.audience]:
        assert re.search(r"\d", visit.headline), visit.path
        assert str(generation) in visit.text, visit.path
        assert as_of.isoformat() in visit.text, visit.path


def test_the_funnel_headline_states_the_published_number(leaders):
    [(estimate, n)] = _rows(
        leaders,
        "select estimate, n from funnel where basis = 'cohort'"
        " and window_kind = 'year' and role_family = 'all' and source = 'all'"
        " and estimate is not null order by window_start desc, estimate limit 1",
    )
    page, _ = leaders.open("funnel/")

    headline = page.get_by_test_id("headline")
    expect(headline).to_contain_text(f"{100 * estimate:.1f} %")
    expect(headline).to_contain_text(f"n = {n:,}")
    _close(page)


def test_the_committee_sees_every_published_recommendation(committee):
    ids = _rows(
        committee,
        "select recommendation_id from rubric_recommendations"
        " where recommendation_id <> 'none'",
    )
    page, _ = committee.open("")

    expect(page.locator("article.recommendation")).to_have_count(len(ids))
    text = page.locator("article.recommendation").all_text_contents()
    for (recommendation_id,) in ids:
        assert any(recommendation_id in card for card in text)
    _close(page)


def test_a_dropdown_shows_the_published_rows_of_its_slice(leaders):
    role = _rows(
        leaders,
        "select min(role_family) from funnel where role_family <> 'all'"
        " and source = 'all' and window_kind = 'year' and basis = 'cohort'",
    )[0][0]
    newest = _rows(
        leaders,
        "select stage, n, estimate from funnel where basis = 'cohort'"
        f" and window_kind = 'year' and role_family = $${role}$$ and source = 'all'"
        " and window_start = (select max(window_start) from funnel"
        " where window_kind = 'year') order by stage_order",
    )
    page, watched = leaders.open("funnel/")

    _choose(page, "Role and channel", f"{_readable(role)} · all channels")

    rows = page.locator(TABLE).first.locator("tr:has(td)")
    expect(rows).to_have_count(len(newest))
    # By number, not by handle: the table is drawn anew when its rows arrive.
    for place, (stage, n, estimate) in enumerate(newest):
        row = rows.nth(place)
        expect(row).to_contain_text(stage.replace("_", " "))
        if n is None:
            expect(row).to_contain_text("suppressed")
        else:
            expect(row).to_contain_text(f"{n:,}")
        if estimate is not None:
            expect(row).to_contain_text(f"{100 * estimate:.1f} %")
    assert watched.complaints == []
    _close(page)


def test_a_filter_changes_what_the_chart_says(leaders):
    page, watched = leaders.open("bottlenecks/")
    chart = page.get_by_role("img", name=re.compile("^Days above the reference, by st"))
    chart = chart.locator("visible=true")
    role = _rows(
        leaders,
        "select role_family from bottlenecks where role_family <> 'all'"
        " and window_kind = 'year' and estimate is not null"
        " order by window_start desc, n desc limit 1",
    )[0][0]
    [(estimate,)] = _rows(
        leaders,
        "select estimate from bottlenecks where window_kind = 'year'"
        f" and role_family = $${role}$$ and estimate is not null"
        " order by window_start desc, stage_order limit 1",
    )
    before = chart.get_attribute("aria-label")

    _choose(page, "Role", _readable(role))

    expect(chart).not_to_have_attribute("aria-label", before or "")
    shown = f"{abs(estimate):.1f} d"
    expect(chart).to_have_attribute("aria-label", re.compile(re.escape(shown)))
    assert watched.complaints == []
    _close(page)


def test_a_trend_tells_each_month_its_number_or_why_it_has_none(leaders):
    page, watched = leaders.open("funnel/")
    chart = page.get_by_role("img", name=re.compile("^Share that moves on, by month"))
    told = chart.locator("visible=true").get_attribute("aria-label") or ""
    words = re.compile("^Share that moves on from (.+), by month of entry")
    stage = words.match(page.get_by_text(words).inner_text())

    months = _rows(
        leaders,
        "select window_label, estimate, status from funnel where basis = 'cohort'"
        " and window_kind = 'month' and role_family = 'all' and source = 'all'"
        f" and replace(stage, '_', ' ') = '{stage[1]}' order by window_start",
    )

    absent = {"suppressed": "suppressed", "insufficient": "not enough data"}
    # A half goes up, as the browser has it.
    said = [
        f"{label}: "
        + (absent[status] if share is None else f"{math.floor(100 * share + 0.5)} %")
        for label, share, status in months
    ]
    assert len(said) > 24
    assert [text for text in said if text not in told] == []
    assert watched.complaints == []
    _close(page)


def test_the_weeks_of_a_stage_are_those_published(leaders):
    [(label, arrived, left)] = _rows(
        leaders,
        "select window_start::varchar, arrived, throughput from stage_weeks"
        " where role_family = 'all' and stage = 'onsite' and n is not null"
        " order by window_start desc limit 1",
    )
    page, watched = leaders.open("bottlenecks/")

    _choose(page, "Stage", "onsite")

    chart = page.get_by_role("img", name=re.compile("^Arrivals and departures"))
    shown = f"{label}: Arrivals {arrived}, Departures {left}"
    expect(chart.locator("visible=true")).to_have_attribute(
        "aria-label", re.compile(re.escape(shown))
    )
    assert watched.complaints == []
    _close(page)


def test_a_label_full_of_quotes_selects_its_own_rows(leaders, built_sites):
    """Page queries are text with the choice put in: a quote must not end it."""
    label = built_sites.quotes
    [(count,)] = _rows(
        leaders,
        "select count(*) from funnel where basis = 'cohort' and role_family = 'all'"
        f" and source = $${label}$$ and window_kind = 'year' and window_start ="
        " (select max(window_start) from funnel where window_kind = 'year')",
    )
    page, watched = leaders.open("funnel/")

    _choose(page, "Role and channel", f"all roles · {label}")

    expect(page.get_by_text(f"Shown: all roles · {label};").first).to_be_visible()
    expect(page.locator(TABLE).first.locator("tr:has(td)")).to_have_count(count)
    assert count > 3
    assert watched.complaints == []
    _close(page)


def test_selectors_offer_every_published_slice_and_no_other(leaders):
    published = _rows(leaders, "select distinct role_family from bottlenecks")
    page, _ = leaders.open("bottlenecks/")

    page.get_by_role("combobox", name="Role").locator("visible=true").click()
    offered = page.get_by_role("option")

    expect(offered.first).to_be_visible()
    # Longer lists are drawn in part: what is drawn must be published.
    labels = {
        "all roles" if role == "all" else _readable(role) for (role,) in published
    }
    assert {text.strip() for text in offered.all_inner_texts()} <= labels
    _close(page)


def test_a_missing_number_is_a_word_and_never_zero(leaders):
    rows = _rows(
        leaders,
        "select stage from funnel where basis = 'cohort' and source = 'all'"
        " and role_family = 'all' and window_kind = 'quarter' and not is_closed"
        " and status in ('insufficient', 'suppressed') order by stage_order",
    )
    if not rows:
        pytest.skip("this generation ends with a closed quarter, or lacks no number")
    page, _ = leaders.open("funnel/")

    _choose(page, "Stage", _readable(rows[0][0]))

    cell = page.locator(TABLE).nth(1).locator("tr:has(td)").last
    expect(cell).to_contain_text(re.compile("not enough data|suppressed"))
    _close(page)


def test_a_table_downloads_as_csv_with_its_rows(leaders, tmp_path):
    page, _ = leaders.open("method/")
    table = page.locator(".table-container:visible").first
    table.hover()

    with page.expect_download() as download:
        table.get_by_role("button", name="Download").click()
    path = tmp_path / "gates.csv"
    download.value.save_as(path)

    with path.open(encoding="utf-8-sig", newline="") as file:
        rows = list(csv.DictReader(file))
    published = _rows(leaders, "select count(*) from gates")[0][0]
    assert len(rows) == published
    assert {"gate", "suite", "result"} <= set(rows[0])
    _close(page)


def test_a_download_holds_no_cell_that_a_spreadsheet_would_run(
    leaders, built_sites, tmp_path
):
    page, _ = leaders.open("offers/")
    table = page.locator(".table-container:visible").last
    expect(table).to_contain_text(built_sites.formula)
    table.hover()

    with page.expect_download() as download:
        table.get_by_role("button", name="Download").click()
    path = tmp_path / "channels.csv"
    download.value.save_as(path)

    with path.open(encoding="utf-8-sig", newline="") as file:
        cells = [cell for row in csv.reader(file) for cell in row]
    assert f"'{built_sites.formula}" in cells
    assert not [cell for cell in cells if cell.startswith(("=", "+", "@"))]
    _close(page)


def _luminance(color: str) -> float:
    channels = [int(float(part)) / 255 for part in re.findall(r"[\d.]+", color)[:3]]
    linear = [
        value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4
        for value in channels
    ]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def _contrast(one: str, other: str) -> float:
    light, dark = sorted((_luminance(one), _luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_text_is_readable_in_light_and_dark(site, theme):
    """WCAG AA asks 4.5 of text; the theme follows the reader's system."""
    path = {"leaders": "funnel/", "committee": "rubrics/"}[site.audience]
    page, _ = site.open(path, color_scheme=theme)
    read = "element => getComputedStyle(element)"
    page_color = page.locator("body").evaluate(f"{read}.backgroundColor")

    assert (_luminance(page_color) > 0.5) == (theme == "light")
    for selector in ("article h1", TABLE + " td", "footer", "[data-testid=headline] p"):
        color = page.locator(selector).first.evaluate(f"{read}.color")
        assert _contrast(color, page_color) >= 4.5, selector
    _close(page)


def test_no_page_scrolls_sideways_on_a_phone(audience, visits):
    for visit in visits[audience]:
        assert visit.phone_width <= 390, visit.path


def test_controls_and_charts_have_names(audience, visits):
    for visit in visits[audience]:
        assert visit.nameless == [], visit.path


def test_every_page_forbids_scripts_that_are_not_its_own(site):
    for page in site.folder.rglob("*.html"):
        html = page.read_text(encoding="utf-8")

        policy = html.index('http-equiv="Content-Security-Policy"')
        assert policy < html.index("<script"), page
        assert "'unsafe-inline'" not in html[policy:].split("style-src")[0], page


def test_a_site_carries_at_most_two_megabytes_of_data(site):
    sizes = [
        path.stat().st_size
        for folder in ("data", "api")
        for path in (site.folder / folder).rglob("*")
        if path.is_file()
    ]

    assert 0 < sum(sizes) <= 2_000_000


def _contents(path):
    content = path.read_bytes()
    return gzip.decompress(content) if content[:2] == b"\x1f\x8b" else content


def test_no_planted_person_is_in_any_downloadable_byte(site, built_sites):
    """A static site ships its data: what is not shown can still be downloaded."""
    forbidden = [token.encode() for token in built_sites.forbidden[site.audience]]
    assert forbidden

    for path in site.folder.rglob("*"):
        if path.is_file():
            content = _contents(path)
            found = [token for token in forbidden if token in content]
            assert found == [], path


def test_no_pseudonym_but_an_interviewers_is_in_any_downloadable_byte(
    site, built_sites
):
    home = built_sites.home
    delivered = sorted(home.raw.glob("*/interviewers/*.parquet"))
    interviewers = {key.encode() for key in names(home, delivered)}
    allowed = interviewers if site.audience == "committee" else set()

    for path in site.folder.rglob("*"):
        if path.is_file():
            assert set(PSEUDONYM.findall(_contents(path))) <= allowed, path
    assert interviewers


def test_leaders_have_no_page_or_table_of_the_committee(leaders, committee):
    own = {path for path in committee.paths if path} - {"method/"}

    assert own
    assert not own & set(leaders.paths)
    names = {path.stem for path in (leaders.folder / "data").rglob("*.parquet")}
    assert not names & {"interviewers", "parity", "reliability", "recommendations"}


def test_injected_text_is_shown_as_text(visits, built_sites):
    texts = [visit.text for seen in visits.values() for visit in seen]

    for injection in built_sites.injections:
        assert any(injection in text for text in texts), injection
