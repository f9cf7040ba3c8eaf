"""A static site per audience, built by Evidence from a generation's published Parquet.

`dashboards/` is one Evidence project. A build copies it into a work folder with the
pages and the tables of one audience only: what another audience may not see is not
there to leak. The tables are the results of `dashboards/sources/*.sql`, run here on
the published Parquet, and shipped as gzipped Arrow streams, which the browser reads
without downloading an extension (see `dashboards/patches`).
"""

import base64
import gzip
import hashlib
import io
import json
import os
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import duckdb
import pyarrow as pa
from filelock import FileLock

from orchestration.doctor import node_problem
from orchestration.warehouse import connect

DASHBOARDS = Path(__file__).resolve().parents[2] / "dashboards"
AUDIENCES = ("leaders", "committee")
SCHEMA = "published"
INSTALL_SECONDS = 900
BUILD_SECONDS = 900
MAX_DATA_BYTES = 2_000_000

# Inline scripts are allowed by their hash, so markup that slipped through as text
# could not run; WebAssembly is the query engine.
POLICY = (
    "default-src 'none'; script-src 'self' 'wasm-unsafe-eval' {hashes}; "
    "worker-src 'self' blob:; connect-src 'self'; img-src 'self' data: blob:; "
    "font-src 'self' data:; style-src 'self' 'unsafe-inline'; manifest-src 'self'; "
    "base-uri 'none'; form-action 'none'"
)
# Only JavaScript is subject to script-src; `application/json` blocks are data.
_SCRIPT = re.compile(r"<script(?![^>]*\bsrc=)[^>]*>(.*?)</script>", re.DOTALL)
_BROKEN = re.compile(r"(?:Binder|Catalog|Parser|Conversion) Error[^<]{0,200}")
_ESCAPES = re.compile(r"\x1b\[[0-9;]*m")


class SiteError(Exception):
    """A site that cannot be built: what, where, why, and what to do."""


@dataclass(frozen=True)
class SiteBuild:
    """What a build of one site took and left.

    `bytes` is the whole site, `data_bytes` its tables and prerendered results.
    """

    audience: str
    seconds: float
    bytes: int
    data_bytes: int
    pages: int


def build_site(
    audience: str,
    published: Path,
    output: Path,
    *,
    work: Path,
    progress: Callable[[str], None],
) -> SiteBuild:
    """Return what was built: the static site of one audience, moved to `output`.

    Parameters
    ----------
    audience : str
        `leaders` or `committee`: chooses pages and source queries.
    published : Path
        Folder with one Parquet file per published table of this audience.
    output : Path
        Folder to create; what it held before is replaced.
    work : Path
        Folder for builds; its subfolder of this audience is emptied first.
    progress : callable
        Receives one line per step.

    Raises
    ------
    SiteError
        If Node or npm is missing or too old, the packages cannot be installed, a
        source query or a page query fails, the build takes over 15 minutes, or the
        site's data exceeds 2 MB.
    """
    started = time.monotonic()
    if audience not in AUDIENCES:
        raise SiteError(f"{audience}: no such audience; there are {AUDIENCES}")
    install_dashboards(progress)
    progress(f"{audience}: assembling pages and tables")
    work = work / audience
    project = _assemble(audience, published, work)
    progress(f"{audience}: building the site (one to two minutes)")
    _run_build(audience, project)
    site = project / "build"
    pages = sorted(site.rglob("*.html"))
    for page in pages:
        _seal(page, site, audience)
    built = _measure(audience, site, len(pages), started)
    output.parent.mkdir(parents=True, exist_ok=True)
    shutil.rmtree(output, ignore_errors=True)
    shutil.move(site, output)
    shutil.rmtree(work)
    progress(
        f"{audience}: {built.pages} pages, {built.data_bytes / 1e6:.1f} MB of data, "
        f"{built.seconds:.0f} s"
    )
    return built


def install_dashboards(progress: Callable[[str], None]) -> None:
    """Install the Node packages of `dashboards/` once per state of its lock file.

    Raises
    ------
    SiteError
        If Node (20 or newer) or npm is missing, or the installation fails.
    """
    problem = node_problem()
    if problem:
        raise SiteError(f"sites: {problem}")
    stamp = DASHBOARDS / "node_modules" / ".installed"
    wanted = _lock_hash()
    with FileLock(DASHBOARDS / ".install.lock"):
        if stamp.exists() and stamp.read_text() == wanted:
            return
        progress("installing the dashboards' Node packages (about a minute, once)")
        command = ["npm", "ci", "--no-audit", "--no-fund", "--loglevel=error"]
        code, log = _run(command, cwd=DASHBOARDS, seconds=INSTALL_SECONDS)
        if code != 0:
            raise SiteError(
                f"dashboards: `npm ci` failed in {DASHBOARDS}: {_tail(log)}\n"
                "Check that the npm registry can be reached, then run it again."
            )
        stamp.write_text(wanted)


def _lock_hash() -> str:
    """Return the hash of what decides the installed packages."""
    if not (DASHBOARDS / "package-lock.json").exists():
        raise SiteError(
            f"sites: {DASHBOARDS} has no dashboards project; build the sites from a "
            "checkout of the repository."
        )
    digest = hashlib.sha256()
    patches = sorted((DASHBOARDS / "patches").glob("*.patch"))
    for path in (DASHBOARDS / "package-lock.json", *patches):
        digest.update(path.read_bytes())
    return digest.hexdigest()


def _assemble(audience: str, published: Path, work: Path) -> Path:
    """Return the project folder: shared parts, this audience's pages and tables."""
    shutil.rmtree(work, ignore_errors=True)
    # The bundler names chunks after paths: a fixed folder name keeps bytes equal.
    project = work / "project"
    project.mkdir(parents=True)
    for name in ("package.json", "evidence.config.yaml"):
        shutil.copy2(DASHBOARDS / name, project / name)
    for name in ("components", "static"):
        shutil.copytree(DASHBOARDS / name, project / name)
    for owner in ("shared", audience):
        shutil.copytree(
            DASHBOARDS / "pages" / owner, project / "pages", dirs_exist_ok=True
        )
    (project / "node_modules").symlink_to(DASHBOARDS / "node_modules")
    data = project / ".evidence" / "template" / "static" / "data"
    urls = []
    for name, table in _tables(audience, published):
        path = data / SCHEMA / name / f"{name}.parquet"
        path.parent.mkdir(parents=True)
        path.write_bytes(_compressed(table))
        urls.append(f"static/data/{SCHEMA}/{name}/{name}.parquet")
    manifest = {"renderedFiles": {SCHEMA: urls}}
    (data / "manifest.json").write_text(json.dumps(manifest))
    return project


def _tables(audience: str, published: Path) -> Iterator[tuple[str, pa.Table]]:
    """Yield each source query's name and result over the published tables."""
    folder = DASHBOARDS / "sources"
    with connect() as warehouse:
        for parquet in sorted(published.glob("*.parquet")):
            warehouse.read_parquet(str(parquet)).create_view(parquet.stem)
        warehouse.execute((folder / "macros.sql").read_text(encoding="utf-8"))
        queries = [*folder.glob("shared/*.sql"), *folder.glob(f"{audience}/*.sql")]
        for query in sorted(queries, key=lambda path: path.stem):
            try:
                result = warehouse.sql(query.read_text(encoding="utf-8"))
                yield query.stem, _plain(result.to_arrow_table())
            except duckdb.Error as error:
                raise SiteError(
                    f"{audience}: source query {query.relative_to(DASHBOARDS)} failed "
                    f"on {published}: {error}\nIs every table it reads published?"
                ) from error


def _plain(table: pa.Table) -> pa.Table:
    """Return the table with the three types pages know: text, number and flag."""

    def plain(kind: pa.DataType) -> pa.DataType:
        if pa.types.is_boolean(kind):
            return pa.bool_()
        return pa.float64() if is_number(kind) else pa.string()

    def is_number(kind: pa.DataType) -> bool:
        return (
            pa.types.is_integer(kind)
            or pa.types.is_floating(kind)
            or pa.types.is_decimal(kind)
        )

    return table.cast(
        pa.schema([pa.field(f.name, plain(f.type)) for f in table.schema])
    )


def _compressed(table: pa.Table) -> bytes:
    """Return the table as a gzipped Arrow stream; equal tables give equal bytes."""
    sink = io.BytesIO()
    with pa.ipc.new_stream(sink, table.schema) as stream:
        stream.write_table(table)
    return gzip.compress(sink.getvalue(), compresslevel=9, mtime=0)


def _run_build(audience: str, project: Path) -> None:
    """Run Evidence's strict build, which fails on a query that fails."""
    command = ["node_modules/.bin/evidence", "build:strict"]
    code, log = _run(command, cwd=project, seconds=BUILD_SECONDS)
    if code != 0:
        raise SiteError(
            f"{audience}: the site's build failed in {project}: {_tail(log)}\n"
            "The lines above name page and query; the folder is kept to look at."
        )


def _run(command: list[str], *, cwd: Path, seconds: int) -> tuple[int, str]:
    """Return exit code and output; the whole process group ends with a timeout."""
    # Variables with these prefixes are read into the pages by the bundler.
    inherited = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("EVIDENCE_", "VITE_"))
    }
    settings = {
        "NODE_OPTIONS": "--max-old-space-size=4096",
        "SEND_ANONYMOUS_USAGE_STATS": "no",
        "NODE_ENV": "production",
    }
    process = subprocess.Popen(  # noqa: S603 - a fixed program, fixed arguments
        command,
        cwd=cwd,
        env=inherited | settings,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        encoding="utf-8",
        errors="replace",
        start_new_session=True,
    )
    try:
        output, _ = process.communicate(timeout=seconds)
    except BaseException as error:
        os.killpg(process.pid, signal.SIGKILL)
        output, _ = process.communicate()
        if isinstance(error, subprocess.TimeoutExpired):
            return 1, f"{output}\nstopped after {seconds} s"
        raise
    return process.returncode, output


def _tail(log: str, lines: int = 25) -> str:
    """Return the last lines of a log, without colour codes."""
    return "\n".join(_ESCAPES.sub("", log).strip().splitlines()[-lines:])


def _seal(page: Path, site: Path, audience: str) -> None:
    """Add the content security policy to a page; refuse a page with a broken query."""
    html = page.read_text(encoding="utf-8")
    broken = _BROKEN.search(html)
    if broken:
        raise SiteError(
            f"{audience}: page {page.relative_to(site)} holds a failed query: "
            f"{broken[0]}\nMend its query under dashboards/pages."
        )
    hashes = " ".join(
        f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
        for text in dict.fromkeys(_SCRIPT.findall(html))
    )
    tag = (
        '<meta http-equiv="Content-Security-Policy" '
        f'content="{POLICY.format(hashes=hashes)}" />'
    )
    page.write_text(html.replace("<head>", f"<head>{tag}", 1), encoding="utf-8")


def _measure(audience: str, site: Path, pages: int, started: float) -> SiteBuild:
    """Return the sizes of a site; refuse one whose data exceed 2 MB."""
    size = {path: path.stat().st_size for path in site.rglob("*") if path.is_file()}
    data_folders = (site / "data", site / "api")
    data_bytes = sum(
        number
        for path, number in size.items()
        if any(folder in path.parents for folder in data_folders)
    )
    if data_bytes > MAX_DATA_BYTES:
        raise SiteError(
            f"{audience}: the site's data are {data_bytes / 1e6:.1f} MB, over "
            f"{MAX_DATA_BYTES / 1e6:.0f} MB: readers would wait. Select fewer rows or "
            "columns in dashboards/sources, or lower policy.history_quarters."
        )
    return SiteBuild(
        audience=audience,
        seconds=time.monotonic() - started,
        bytes=sum(size.values()),
        data_bytes=data_bytes,
        pages=pages,
    )
