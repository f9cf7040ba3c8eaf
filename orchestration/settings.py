"""Every setting, typed: from defaults, `<home>/*.yaml` and the environment.

`CALIBRANT_HOME` names the home; `CALIBRANT_<FIELD>` overrides one field of the
policy. Later origins win: default, then `policy.yaml`, then the environment.
"""

import datetime as dt
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar
from zoneinfo import ZoneInfo

import yaml
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    field_validator,
    model_validator,
)

MAX_YAML_BYTES = 1_000_000
DEFAULT_HOME = "var"

Share = Annotated[float, Field(ge=0, le=1)]
Count = Annotated[int, Field(ge=0)]
Days = Annotated[int, Field(ge=1)]


class SettingsError(Exception):
    """A setting that cannot be used: what, where, why, and what to do."""


class _NoAliasLoader(yaml.SafeLoader):
    """Safe YAML without aliases: a 400-byte alias bomb expands to gigabytes."""

    def compose_node(self, parent: Any, index: Any) -> yaml.Node | None:
        if self.check_event(yaml.events.AliasEvent):
            raise yaml.MarkedYAMLError(
                problem="aliases (*name) are not accepted; write the value out",
                problem_mark=self.get_event().start_mark,  # type: ignore[no-untyped-call]
            )
        return super().compose_node(parent, index)


def load_yaml(path: Path) -> dict[str, Any]:
    """Return the mapping a YAML file holds; `{}` where the file is absent or empty.

    Raises
    ------
    SettingsError
        If the file cannot be read, is over 1 MB, uses aliases, is no valid YAML
        or is no mapping. The message names file, line and column.
    """
    if not path.exists():
        return {}
    try:
        if path.stat().st_size > MAX_YAML_BYTES:
            raise SettingsError(f"{path}: over 1 MB; a settings file is a few kB")
        text = path.read_text(encoding="utf-8-sig")
        # The loader is a SafeLoader, without aliases.
        content = yaml.load(text, Loader=_NoAliasLoader)  # noqa: S506
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        where = f", line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        raise SettingsError(f"{path}{where}: {error.problem}") from None
    except (OSError, UnicodeDecodeError, yaml.YAMLError, RecursionError) as error:
        reason = str(error) or type(error).__name__
        raise SettingsError(f"{path}: cannot be read: {reason}") from None
    if content is None:
        return {}
    if not isinstance(content, dict):
        raise SettingsError(f"{path}: expected `name: value` lines at the top level")
    return content


@dataclass(frozen=True)
class Home:
    """The folder that holds everything of one installation."""

    root: Path

    @classmethod
    def resolve(cls, root: Path | str | None = None) -> "Home":
        """Return the home given, else `CALIBRANT_HOME`, else `./var`."""
        chosen = root or os.environ.get("CALIBRANT_HOME") or DEFAULT_HOME
        return cls(Path(chosen).expanduser().resolve())

    @property
    def inbox(self) -> Path:
        """What users drop: `<source>/<entity>.{csv,jsonl,parquet}`."""
        return self.root / "inbox"

    @property
    def landing(self) -> Path:
        """Immutable copies of what came in, content-addressed."""
        return self.root / "landing"

    @property
    def quarantine(self) -> Path:
        """Rows refused at landing, with code, file, line and column."""
        return self.root / "quarantine"

    @property
    def raw(self) -> Path:
        """Typed, pseudonymised Parquet, one file per landed file."""
        return self.root / "raw"

    @property
    def restricted(self) -> Path:
        """PII, the identity map and the key; nothing past raw reads it."""
        return self.root / "restricted"

    @property
    def generations(self) -> Path:
        """One folder per generation, and `.building-<run>` while one is made."""
        return self.root / "generations"

    @property
    def current(self) -> Path:
        """The pointer to the generation that readers see."""
        return self.root / "current"

    @property
    def quarters(self) -> Path:
        """Frozen figures of closed quarters."""
        return self.root / "quarters"

    @property
    def ledger(self) -> Path:
        """Append-only decisions, erasures and publications."""
        return self.root / "ledger"

    @property
    def cache(self) -> Path:
        """What can be made again: parsed dbt manifest, build folders."""
        return self.root / "cache"

    @property
    def design(self) -> Path:
        """Rubrics, loops and questions as the user's own YAML."""
        return self.root / "design"

    @property
    def sources_file(self) -> Path:
        """How each source writes times, scales and stages."""
        return self.root / "sources.yaml"

    @property
    def policy_file(self) -> Path:
        """Thresholds, calendar and smallest group."""
        return self.root / "policy.yaml"


ConnectorKind = Literal["greenhouse", "greenhouse_archive", "lever", "ashby",
                        "fivetran_greenhouse", "fivetran_lever", "reviews"]  # fmt: skip
_WORDS = {"definitely_not": 1.0, "no": 2.0, "mixed": 3.0, "yes": 4.0, "strong_yes": 5.0}
_ONE_TO_FOUR = {"1": 1.0, "2": 2.0, "3": 3.0, "4": 4.0}
# How each service spells the rating of a competency. Overall ratings have other levels.
NATIVE_SCALES: dict[str, dict[str, float]] = {
    "greenhouse": _WORDS,
    "greenhouse_archive": _WORDS,
    "fivetran_greenhouse": _WORDS,
    "lever": _ONE_TO_FOUR,
    "fivetran_lever": _ONE_TO_FOUR,
    "ashby": _ONE_TO_FOUR,
}


class ConnectorConfig(BaseModel):
    """Where a source's data come from, where it is no folder that someone fills."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: ConnectorKind = Field(description="The service or the form of the data.")
    base_url: str | None = Field(None, description="Address; default the service's.")
    token_url: str | None = Field(None, description="Token service; as above.")
    credentials: dict[str, str] = Field(
        default_factory=dict,
        description="Name of each secret to `env:NAME` or `file:PATH`, never itself.",
    )
    subject: str | None = Field(
        None,
        description="Greenhouse: id of the Site Admin in whose name lists are read.",
    )
    location: str | None = Field(
        None,
        description="Archives, Fivetran, reviews: folder, DuckDB file or Postgres URL.",
    )
    database_schema: str | None = Field(
        None, description="Fivetran: schema of the database that holds the tables."
    )
    columns: dict[str, str] = Field(
        default_factory=dict,
        description=(
            "Reviews: column of the export to that here. Fivetran, Lever:"
            " `template/field` of a feedback form to competency."
        ),
    )
    demographics: bool = Field(
        True, description="Whether self-identification is read at all."
    )
    lookback_minutes: int = Field(
        60,
        ge=0,
        description="How far an incremental sync reaches back behind the last.",
    )
    full_every_days: Days = Field(
        7, description="Days after which a sync reads everything, to see deletions."
    )

    @field_validator("credentials")
    @classmethod
    def _referred_to(cls, value: dict[str, str]) -> dict[str, str]:
        for name, reference in value.items():
            if not reference.startswith(("env:", "file:")):
                # The value is not repeated: it may be the secret itself.
                raise ValueError(
                    f"{name}: write `env:NAME` or `file:PATH`; a secret does not belong"
                    " into a settings file"
                )
        return value


class SourceConfig(BaseModel):
    """How one source (a folder of the inbox) writes its data."""

    model_config = ConfigDict(extra="forbid", frozen=True, coerce_numbers_to_str=True)

    timezone: str = Field("UTC", description="Zone of timestamps without an offset.")
    timestamp_format: str | None = Field(
        None, description="strptime format of timestamps that are not ISO-8601."
    )
    date_format: str | None = Field(
        None, description="strptime format of dates that are not ISO."
    )
    encoding: str = Field("utf-8", description="Encoding of its text files.")
    delimiter: str = Field(",", min_length=1, max_length=1, description="CSV only.")
    scale: dict[str, float] = Field(
        default_factory=dict,
        description="Native rating spelling to number, where no rubric is named.",
    )
    missing: tuple[str, ...] = Field(
        ("", "n/a", "no_decision"), description="Spellings that are no rating."
    )
    stages: dict[str, str] = Field(
        default_factory=dict, description="Native stage to stage of the funnel."
    )
    rounds: dict[str, str] = Field(
        default_factory=dict, description="Native round to round."
    )
    competencies: dict[str, str] = Field(
        default_factory=dict, description="Native competency to competency."
    )
    role_family: str | None = Field(
        None, description="Role family of applications without a job."
    )
    role_families: dict[str, str] = Field(
        default_factory=dict, description="Native department to role family."
    )
    stage_groups: dict[str, str] = Field(
        default_factory=dict,
        description="Connectors: stage to applied, screen, interview, offer or hired.",
    )
    dropped_columns: tuple[str, ...] = Field(
        (), description="Columns, `entity.column`, that are no longer delivered."
    )
    connector: ConnectorConfig | None = Field(
        None, description="The service that fills this source, if there is one."
    )
    may_be_empty: tuple[str, ...] = Field(
        (), description="Entities whose files may hold a header only."
    )

    @field_validator("timezone")
    @classmethod
    def _known_zone(cls, value: str) -> str:
        try:
            ZoneInfo(value)
        except Exception:
            raise ValueError(
                f"unknown time zone {value!r}; use an IANA name such as Europe/Berlin"
            ) from None
        return value

    @model_validator(mode="before")
    @classmethod
    def _native_scale(cls, values: Any) -> Any:
        """A service's own scale, where none is declared."""
        if not isinstance(values, dict) or values.get("scale"):
            return values
        connector = values.get("connector")
        kind = connector.get("kind") if isinstance(connector, dict) else None
        native = NATIVE_SCALES.get(kind) if isinstance(kind, str) else None
        return {**values, "scale": native} if native else values

    def reading(self) -> dict[str, Any]:
        """Return what changes how a file is read: all but where it comes from."""
        return self.model_dump(mode="json", exclude={"connector"})

    @field_validator("encoding")
    @classmethod
    def _known_encoding(cls, value: str) -> str:
        try:
            "".encode(value)
        except LookupError:
            raise ValueError(f"unknown encoding {value!r}; e.g. utf-16") from None
        return value


class Sources(BaseModel):
    """The content of `sources.yaml`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    sources: dict[str, SourceConfig] = Field(default_factory=dict)

    def reading(self) -> dict[str, Any]:
        """Return what changes how files are read, by source."""
        return {name: config.reading() for name, config in self.sources.items()}

    def of(self, source: str) -> SourceConfig:
        """Return the configuration of a source; the defaults where it has none."""
        return self.sources.get(source, SourceConfig())


class Policy(BaseModel):
    """The content of `policy.yaml`: what is shown, what is acted on, and when."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    smallest_group_size: int = Field(
        5, ge=1, description="Groups with fewer people are suppressed when published."
    )
    fiscal_year_start_month: int = Field(
        1, ge=1, le=12, description="First month of the fiscal year."
    )
    quarter_close_days: Count = Field(
        14, description="Days after its end until a quarter counts as closed."
    )
    history_quarters: int = Field(
        12, ge=1, description="Quarters before as_of that are reported."
    )
    jurisdiction: str = Field(
        "unspecified", description="Printed on parity tables; changes no number."
    )
    horizon_days: Days = Field(
        90, description="H of cohort conversion: advanced within H days of entry."
    )
    reversal_days: Days = Field(
        30, description="A reversal within these days continues the episode."
    )
    show_minimum_entered: Count = Field(
        20, description="Applications below which conversion is insufficient."
    )
    show_minimum_maturity: Share = Field(
        0.6, description="Share observed for H days below which it is insufficient."
    )
    show_minimum_candidates: Count = Field(
        30, description="Multi-rated candidates below which reliability is not shown."
    )
    act_minimum_candidates: Count = Field(
        100, description="Multi-rated candidates below which no rubric rule acts."
    )
    show_minimum_interviewer_candidates: Count = Field(
        10, description="Candidates below which an interviewer's severity is not shown."
    )
    act_minimum_interviewer_candidates: Count = Field(
        20, description="Candidates below which an interviewer is never flagged."
    )
    act_minimum_interviewer_corated: Count = Field(
        10, description="Co-rated candidates below which nobody is flagged."
    )
    scorecard_late_days: Days = Field(
        2, description="Days after the interview from which a scorecard is late."
    )
    scorecard_missing_days: Days = Field(
        7, description="Days after the interview from which a scorecard is missing."
    )
    severity_margin: float = Field(
        0.15, ge=0, description="H0 of severity: |severity| at most this, in points."
    )
    severity_flag: float = Field(
        0.25, ge=0, description="Shrunken |severity| from which a flag is raised."
    )
    show_minimum_parity_group: Count = Field(
        20, description="Group size below which parity is counts and exact p only."
    )
    show_minimum_parity_expected: Count = Field(
        5, description="Expected selections below which parity is insufficient."
    )
    show_minimum_outcomes: Count = Field(
        30, description="Reviewed hires below which validity is insufficient."
    )
    act_minimum_outcomes: Count = Field(
        100, description="Reviewed hires below which validity is called early."
    )
    criterion_reliability: float | None = Field(
        None,
        gt=0,
        le=1,
        description="Reliability of reviews; null: no correction for attenuation.",
    )
    false_discovery_rate: Share = Field(
        0.05, description="Level of Benjamini-Hochberg and of the family-wise control."
    )
    bootstrap_replicates: int = Field(
        1000, ge=100, description="Replicates of every bootstrap interval."
    )
    seed: int = Field(20_261_001, description="Seed of every bootstrap; published.")
    maximum_quarantine_rate: Share = Field(
        0.05, description="Share of an entity's rows in quarantine that stops a run."
    )
    maximum_shrinkage: Share = Field(
        0.2, description="Share of rows lost against the last generation that stops."
    )
    maximum_unmapped_rate: Share = Field(
        0.05, description="Share of ratings or stages without a mapping that stops."
    )
    minimum_join_rate: Share = Field(
        0.7, description="Share of hires known to the HRIS below which a run stops."
    )
    retention_months: dict[str, Count] = Field(
        default_factory=dict,
        description=(
            "Months a candidate is kept after the last application ended, by the job's"
            " jurisdiction and `default`; none: kept. US rules ask for 12 or more."
        ),
    )
    rules: dict[str, dict[str, float | bool]] = Field(
        default_factory=dict,
        description="Thresholds per rule, e.g. `R1: {threshold: 0.21}`.",
    )

    def thresholds(self) -> dict[str, float]:
        """Return the bounds that the gates take from the policy."""
        return {
            "maximum_shrinkage": self.maximum_shrinkage,
            "maximum_quarantine_rate": self.maximum_quarantine_rate,
            "maximum_unmapped_rate": self.maximum_unmapped_rate,
            "minimum_join_rate": self.minimum_join_rate,
        }


Model = TypeVar("Model", bound=BaseModel)
Origin = Literal["default", "policy.yaml", "environment"]


@dataclass(frozen=True)
class Settings:
    """Everything a run is configured by."""

    home: Home
    sources: Sources
    policy: Policy
    origins: Mapping[str, Origin]


def load_settings(root: Path | str | None = None) -> Settings:
    """Return the settings of a home; defaults where its files are absent.

    Raises
    ------
    SettingsError
        If a file or variable holds something that is no setting; the message
        lists each fault with its place.
    """
    home = Home.resolve(root)
    sources = _validated(Sources, load_yaml(home.sources_file), home.sources_file)
    values = load_yaml(home.policy_file)
    origins: dict[str, Origin] = {
        name: "policy.yaml" if name in values else "default"
        for name in Policy.model_fields
    }
    for name in Policy.model_fields:
        text = os.environ.get(f"CALIBRANT_{name.upper()}")
        if text is not None:
            values[name] = yaml.safe_load(text)
            origins[name] = "environment"
    policy = _validated(Policy, values, home.policy_file)
    return Settings(home, sources, policy, origins)


def _validated(model: type[Model], values: Mapping[str, Any], path: Path) -> Model:
    """Return the model, or one message that lists every fault with its place."""
    try:
        return model.model_validate(values)
    except ValidationError as error:
        faults = [
            f"  {'.'.join(str(part) for part in fault['loc'])}: {fault['msg']}"
            + (
                f" (got {fault['input']!r})"
                if fault["type"] != "extra_forbidden"
                else f"; known: {', '.join(sorted(model.model_fields))}"
            )
            for fault in error.errors()
        ]
        raise SettingsError(f"{path}:\n" + "\n".join(faults)) from None


def parse_as_of(text: str) -> dt.date:
    """Return the date of an ISO string.

    Raises
    ------
    SettingsError
        If it is no ISO date.
    """
    try:
        return dt.date.fromisoformat(text)
    except ValueError:
        raise SettingsError(
            f"--as-of {text!r}: expected a date such as 2026-09-30"
        ) from None


SOURCES_TEMPLATE = """\
# How each source (a folder of the inbox) writes its data. Every line is optional;
# `calibrant check` proposes the mappings from what it finds.
sources: {}
#  csv:                     # the folder's name: inbox/csv/applications.csv
#    timezone: UTC          # zone of timestamps without an offset
#    scale: {"1": 1, "2": 2, "3": 3, "4": 4, "5": 5}   # rating spelling to number
#    missing: ["", "n/a", no_decision]                 # spellings that are no rating
#    stages: {"Phone Screen": phone_screen}            # native stage to stage
#    rounds: {"Onsite 1": coding}
#    competencies: {"Problem solving": coding}
#    role_family: engineering                          # where jobs are absent
"""


def policy_template() -> str:
    """Return a `policy.yaml` with every setting at its default, commented out."""
    lines = ["# What is shown, what is acted on, and when. Uncomment to change."]
    for name, field in Policy.model_fields.items():
        default = Policy.model_fields[name].get_default(call_default_factory=True)
        value = yaml.safe_dump(default, default_flow_style=True).splitlines()[0]
        lines += ["", f"# {field.description}", f"# {name}: {value}"]
    return "\n".join(lines) + "\n"
