"""Simulate a company's hiring, vectorised: every table a source would deliver."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from orchestration.simulation.presets import Preset

Company = dict[str, dict[str, pa.Table]]
Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]
Booleans = npt.NDArray[np.bool_]

DAY = np.int64(86_400_000_000)
DECLINE_REASONS = np.array(["pay", "another_offer", "location", "role", "timing"])
FIRST_NAMES = np.array(
    ["Ada", "Bela", "Chidi", "Dara", "Elif", "Farid", "Grace", "Hugo", "Ines", "Jun",
     "Kofi", "Lena", "Mateo", "Nadia", "Omar", "Priya", "Quinn", "Rosa", "Sven", "Tala"]
)  # fmt: skip
LAST_NAMES = np.array(
    ["Abe", "Brandt", "Costa", "Diallo", "Eriksen", "Fofanah", "Garcia", "Haddad",
     "Ito", "Jansen", "Kowalski", "Lopez", "Mbeki", "Novak", "Okafor", "Park",
     "Rossi", "Singh", "Tran", "Weber"]
)  # fmt: skip


@dataclass
class _State:
    """What is known of each application while the funnel is walked."""

    applied_at: Integers
    family: Integers
    job: Integers
    channel: Integers
    woman: Booleans
    general: Floats
    entered_at: Integers
    alive: Booleans
    terminal: npt.NDArray[np.object_]
    terminal_at: Integers


def simulate(rng: np.random.Generator, preset: Preset) -> Company:
    """Return every table of a simulated company: `{source: {entity: table}}`.

    Tables are in the landing contract, spelled as their source would spell them: the
    ATS is `ats`, reviews come from `hris`. The same generator state gives the same
    company.
    """
    return _Simulation(rng, preset).run()


class _Simulation:
    """One company being made; every draw comes from one generator."""

    def __init__(self, rng: np.random.Generator, preset: Preset) -> None:
        self.rng = rng
        self.c = preset.company
        self.truths = preset.truths
        self.start = _microseconds(preset.first_day)
        self.end = _microseconds(preset.last_day) + DAY
        self.cut = _microseconds(preset.as_of) + DAY
        self.n = int(self.c["applications"])
        self.families = list(self.c["role_families"])
        self.channels = list(self.c["channels"])
        self.stages = self.c["stages"]
        self.n_interviewers = int(self.c["interviewers"])
        self.tables: dict[str, list[pa.Table]] = {}

    def run(self) -> Company:
        """Walk the funnel stage by stage, then write what happened around it."""
        state = self._applications()
        self.severity = self._severities()
        interviewed: dict[str, Integers] = {}
        for place, stage in enumerate(self.stages):
            here = np.flatnonzero(state.alive)
            interviewed[stage["stage"]] = here
            self._stage(state, place, stage, here)
        tables = {name: pa.concat_tables(parts) for name, parts in self.tables.items()}
        ats = {
            **tables,
            **self._structure(),
            "applications": self._application_table(state),
            "demographics": self._demographics(state),
        }
        hris = {name: ats.pop(name) for name in ("employees", "performance_reviews")}
        return {"ats": ats, "hris": hris}

    # -- people and dates ---------------------------------------------------------

    def _applications(self) -> _State:
        n, rng = self.n, self.rng
        applied_at = np.sort(rng.integers(self.start, self.end, n))
        stragglers = rng.random(n) < 0.005
        applied_at[stragglers] = rng.integers(
            self.end, self.cut - 2 * DAY, int(stragglers.sum())
        )
        family = rng.choice(
            len(self.families), n, p=list(self.c["role_families"].values())
        )
        per_family = max(1, int(self.c["jobs"]) // len(self.families))
        job = family * per_family + rng.integers(0, per_family, n)
        channel = rng.choice(len(self.channels), n, p=list(self.c["channels"].values()))
        return _State(
            applied_at=applied_at,
            family=family,
            job=job,
            channel=channel,
            woman=rng.random(n) < self.c["women"],
            general=rng.standard_normal(n),
            entered_at=applied_at.copy(),
            alive=np.ones(n, dtype=bool),
            terminal=np.full(n, None, dtype=object),
            terminal_at=np.full(n, -1, dtype=np.int64),
        )

    def _severities(self) -> Floats:
        severity = self.rng.normal(0, self.c["severity_sd"], self.n_interviewers)
        limit = self.c.get("severity_limit")
        if limit:
            severity = np.clip(severity, -limit, limit)
        plant = self.truths.get("severe_interviewer")
        if plant:
            severity[int(plant["interviewer"]) % self.n_interviewers] = plant[
                "severity"
            ]
        return severity - np.median(severity) * (plant is None)

    def _severity_at(self, interviewer: Integers, when: Integers) -> Floats:
        severity = self.severity[interviewer]
        plant = self.truths.get("drifting_interviewer")
        if plant:
            quarters = (when - self.start) / (DAY * 91.3125)
            drifts = interviewer == int(plant["interviewer"]) % self.n_interviewers
            severity = severity + drifts * plant["per_quarter"] * (quarters - 6)
        return severity

    # -- one stage ----------------------------------------------------------------

    def _stage(
        self, state: _State, place: int, stage: Mapping[str, Any], here: Integers
    ) -> None:
        """Enter, wait, rate, decide and leave one stage."""
        rng = self.rng
        name = stage["stage"]
        if len(here) == 0:
            return
        entered = state.entered_at[here]
        if name == "hired":
            self._visits(
                here, name, entered, np.full(len(here), -1), np.zeros(len(here), bool)
            )
            state.terminal[here] = "hired"
            state.terminal_at[here] = entered
            self._hires(state, here, entered)
            return
        days = stage["median_days"] * np.exp(
            stage["spread"] * rng.standard_normal(len(here))
        )
        left = entered + (days * self._slowness(name, entered) * DAY).astype(np.int64)
        score = self._rounds(state, name, here, entered, left)
        passes = self._decide(state, name, float(stage["pass"]), here, score)
        skipped = np.zeros(len(here), dtype=bool)
        if name == "phone_screen":
            skipped = (state.channel[here] == self.channels.index("referral")) & (
                rng.random(len(here)) < self.c["skipped_phone_share"] * 4
            )
            passes |= skipped
            left = np.where(skipped, entered + 1, left)
        happened = left < self.cut
        self._visits(here, name, entered, np.where(happened, left, -1), skipped)
        if name == "take_home":
            self._take_homes(here, entered, left, passes)
        if name == "offer":
            self._offers(here, entered, left, passes)
        ends = happened & ~passes
        kind = np.where(
            rng.random(len(here)) < self.c["withdrawn_share"], "withdrawn", "rejected"
        )
        if name == "offer":
            kind = np.full(len(here), "withdrawn")
        state.terminal[here[ends]] = kind[ends]
        state.terminal_at[here[ends]] = left[ends]
        self._reopenings(state, here[ends], left[ends], kind[ends])
        state.alive[here] = happened & passes
        state.entered_at[here] = left

    def _slowness(self, name: str, entered: Integers) -> Floats:
        plant = self.truths.get("slow_stage")
        factor = np.ones(len(entered))
        if plant and plant["stage"] == name:
            since = self.end - int(plant["quarters"] * 91.3125) * DAY
            factor[entered >= since] = 1 / plant["capacity"]
        return factor

    def _decide(
        self,
        state: _State,
        name: str,
        rate: float,
        here: Integers,
        score: Floats | None,
    ) -> Booleans:
        """Who passes: the best of those rated, or anybody where nothing is rated."""
        if "enrich" in self.c and rate < 1:
            rate = min(0.9, rate * float(self.c["enrich"]))
        if score is None:
            return self.rng.random(len(here)) < rate
        plant = self.truths.get("selection_gap")
        if plant and plant["stage"] == name:
            score = score + plant["shift_sd"] * np.std(score) * state.woman[here]
        noisy = score + self.rng.normal(0, 0.35 * (np.std(score) or 1.0), len(here))
        passes: Booleans = noisy >= np.quantile(noisy, 1 - rate)
        return passes

    def _visits(
        self,
        here: Integers,
        stage: str,
        entered: Integers,
        left: Integers,
        skipped: Booleans,
    ) -> None:
        shown = ~skipped
        self._add(
            "stage_events",
            application_id=_ids("A", here[shown]),
            stage=_repeat(stage, int(shown.sum())),
            visit_id=_ids(f"{stage}-", here[shown]),
            entered_at=_times(entered[shown]),
            exited_at=_times(left[shown]),
            entered_at_quality=_repeat("exact", int(shown.sum())),
        )
        again = (
            shown & (left > 0) & (self.rng.random(len(here)) < self.c["reentry_share"])
        )
        if stage not in ("phone_screen", "onsite") or not again.any():
            return
        # A second visit to the same stage: the decision was put off by a few days.
        back = left[again] - (0.1 * DAY * self.rng.random(int(again.sum()))).astype(
            np.int64
        )
        self._add(
            "stage_events",
            application_id=_ids("A", here[again]),
            stage=_repeat(stage, int(again.sum())),
            visit_id=_ids(f"{stage}-2-", here[again]),
            entered_at=_times(back),
            exited_at=_times(left[again]),
            entered_at_quality=_repeat("exact", int(again.sum())),
        )

    def _reopenings(
        self, state: _State, here: Integers, at: Integers, kind: npt.NDArray[Any]
    ) -> None:
        """Every ending is an event; a few rejections are taken back and made again."""
        closed = (kind == "rejected") & (
            self.rng.random(len(here)) < self.c["closed_share"]
        )
        reason = np.where(
            kind == "withdrawn",
            "candidate",
            np.where(closed, "requisition_closed", "skills"),
        )
        self._add(
            "application_events",
            application_id=_ids("A", here),
            occurred_at=_times(at),
            kind=pa.array(kind, pa.string()),
            reason_group=pa.array(reason, pa.string()),
        )
        back = (kind == "rejected") & (
            self.rng.random(len(here)) < self.c["reopened_share"]
        )
        earlier = at[back] - 4 * DAY
        for name, when in (("rejected", earlier), ("unrejected", earlier + DAY)):
            self._add(
                "application_events",
                application_id=_ids("A", here[back]),
                occurred_at=_times(when),
                kind=_repeat(name, int(back.sum())),
                reason_group=_repeat("skills", int(back.sum())),
            )

    # -- rounds and ratings -------------------------------------------------------

    def _rounds(
        self,
        state: _State,
        stage: str,
        here: Integers,
        entered: Integers,
        left: Integers,
    ) -> Floats | None:
        """Hold the stage's rounds; return each candidate's mean score over them."""
        rounds = [r for r in self.c["rounds"] if r["stage"] == stage]
        if not rounds:
            return None
        total = np.zeros(len(here))
        held = (entered + left) // 2
        debrief = left - DAY // 4
        for place, about in enumerate(rounds):
            total += self._round(state, about, here, held + place * DAY // 24, debrief)
        decided = (debrief < self.cut) & (debrief > 0)
        self._add(
            "debriefs",
            debrief_id=_ids(f"D{stage[0]}", here[decided]),
            application_id=_ids("A", here[decided]),
            started_at=_times(debrief[decided]),
            decided_at=_times(left[decided]),
        )
        return total / len(rounds)

    def _round(
        self,
        state: _State,
        about: Mapping[str, Any],
        here: Integers,
        held: Integers,
        debrief: Integers,
    ) -> Floats:
        """One round: panels, cards, ratings; returns the mean rating by candidate."""
        rng, n = self.rng, len(here)
        name, competencies = about["round"], about["competencies"]
        few = self.truths.get("few_raters", {})
        double = few["double"] if few.get("round") == name else about["double"]
        rho = self.c["true_round_correlation"]
        ability = np.sqrt(rho) * state.general[here] + np.sqrt(
            1 - rho
        ) * rng.standard_normal(n)
        # In the pool that is rated: selection before has narrowed and lifted it.
        ability = (ability - ability.mean()) / (ability.std() or 1.0)
        first = rng.integers(0, self.n_interviewers, n)
        step = rng.integers(1, max(2, self.n_interviewers), n)
        second = (first + step) % self.n_interviewers
        paired = rng.random(n) < double
        candidate = np.concatenate([np.arange(n), np.flatnonzero(paired)])
        interviewer = np.concatenate([first, second[paired]])
        happened = held[candidate] < self.cut
        candidate, interviewer = candidate[happened], interviewer[happened]
        cards = len(candidate)
        late = rng.random(cards) < self.c["late_cards"]
        submitted = np.where(
            late, debrief[candidate] + DAY // 12, held[candidate] + DAY // 12
        )
        submitted = np.minimum(submitted, self.cut - DAY // 24)
        scorecard = _join(_ids(f"S{name}-", here[candidate]), _ids("-", interviewer))
        self._cards(
            name, about, here, candidate, interviewer, scorecard, submitted, held
        )
        severity = self._severity_at(interviewer, submitted)
        plant = self.truths.get("halo_interviewer", {})
        has_halo = (
            interviewer == int(plant.get("interviewer", -1)) % self.n_interviewers
        )
        shared = rng.standard_normal(cards)
        mean_by_candidate = np.zeros(n)
        questions = int(self.c["questions_per_competency"])
        within = self.c["true_competency_correlation"]
        for competency in competencies:
            shape = self._shape(name, competency)
            own = rng.standard_normal(n)
            true = np.sqrt(within) * ability + np.sqrt(1 - within) * own
            variance = shape["sd"] ** 2
            of_candidate = shape["reliability"] * variance
            noise = max(variance - of_candidate - self.c["severity_sd"] ** 2, 0.01)
            halo = min(shape["halo"], 0.9 * noise)
            halo_share = np.full(cards, halo / noise)
            if plant:
                halo_share = np.where(has_halo, plant["halo_share"], halo_share)
            for question in range(questions):
                latent = (
                    shape["mean"]
                    + np.sqrt(of_candidate) * true[candidate]
                    - severity
                    + np.sqrt(noise)
                    * (
                        np.sqrt(halo_share) * shared
                        + np.sqrt(1 - halo_share) * rng.standard_normal(cards)
                    )
                )
                rating = np.clip(np.rint(latent), 1, 5).astype(np.int64)
                mean_by_candidate += np.bincount(
                    candidate, rating / (len(competencies) * questions), minlength=n
                )
                self._add(
                    "ratings",
                    scorecard_id=scorecard,
                    competency=_repeat(competency, cards),
                    question_id=_repeat(
                        f"{competency}_{question + 1}" if questions > 1 else None, cards
                    ),
                    rating=pc.cast(pa.array(rating), pa.string()),
                    rated_at=_times(submitted),
                )
        seen = np.bincount(candidate, minlength=n)
        return np.where(seen > 0, mean_by_candidate / np.maximum(seen, 1), 0.0)

    def _shape(self, name: str, competency: str) -> dict[str, float]:
        """How a competency's ratings are distributed, plants included."""
        shape = dict(self.c["ratings"])
        for plant in ("vague_competency", "ceiling_level", "few_raters"):
            truth = self.truths.get(plant, {})
            if truth.get("round") == name and truth.get("competency") in (
                None,
                competency,
            ):
                shape |= {k: v for k, v in truth.items() if k in shape}
        return shape

    def _cards(
        self,
        name: str,
        about: Mapping[str, Any],
        here: Integers,
        candidate: Integers,
        interviewer: Integers,
        scorecard: pa.Array,
        submitted: Integers,
        held: Integers,
    ) -> None:
        """The interviews, panels and scorecards of one round."""
        cards = len(candidate)
        interview = _ids(f"I{name}-", here)
        seen = np.unique(candidate)
        self._add(
            "interviews",
            interview_id=interview.take(pa.array(seen)),
            application_id=_ids("A", here[seen]),
            round=_repeat(name, len(seen)),
            scheduled_at=_times(held[seen]),
            duration_minutes=pa.array(np.full(len(seen), float(about["minutes"]))),
        )
        # Shadows sit in and write no scorecard of their own.
        self._add(
            "interview_panel",
            interview_id=interview.take(pa.array(candidate)),
            interviewer_id=_ids("I", interviewer),
            panel_role=_repeat("panel", cards),
            minutes=pa.array(np.full(cards, float(about["minutes"]))),
        )
        self._add(
            "scorecards",
            scorecard_id=scorecard,
            application_id=_ids("A", here[candidate]),
            interviewer_id=_ids("I", interviewer),
            round=_repeat(name, cards),
            submitted_at=_times(submitted),
            interview_id=interview.take(pa.array(candidate)),
            rubric_id=_repeat(f"{name}_rubric", cards),
            rubric_version=_repeat("1", cards),
            is_draft=pa.array(np.zeros(cards, dtype=bool)),
            notes=_repeat("Candidate explained the trade-offs step by step.", cards),
        )

    # -- around the funnel --------------------------------------------------------

    def _take_homes(
        self, here: Integers, entered: Integers, left: Integers, passes: Booleans
    ) -> None:
        plant = self.truths.get(
            "take_home_drop_off", {"from_rate": 0.22, "to_rate": 0.22}
        )
        half = (self.start + self.end) // 2
        drop = np.where(entered > half, plant["to_rate"], plant["from_rate"])
        submits = passes | (self.rng.random(len(here)) > drop)
        sent = submits & (left < self.cut)
        self._add(
            "take_homes",
            submission_id=_ids("T", here),
            application_id=_ids("A", here),
            challenge_id=_repeat("long_form", len(here)),
            challenge_version=_repeat("1", len(here)),
            invited_at=_times(entered),
            submitted_at=_times(np.where(sent, left, -1)),
            hours_reported=pa.array(
                np.round(self.rng.lognormal(1.6, 0.4, len(here)), 1)
            ),
        )

    def _offers(
        self, here: Integers, entered: Integers, left: Integers, accepts: Booleans
    ) -> None:
        resolved = left < self.cut
        status = np.where(accepts, "accepted", "declined")
        expired = ~accepts & (self.rng.random(len(here)) < 0.1)
        status = np.where(resolved, np.where(expired, "expired", status), "pending")
        reasons = self.rng.choice(
            DECLINE_REASONS, len(here), p=[0.4, 0.25, 0.15, 0.1, 0.1]
        )
        self._add(
            "offers",
            offer_id=_ids("O", here),
            version=_repeat("1", len(here)),
            application_id=_ids("A", here),
            extended_at=_times(entered),
            status=pa.array(status, pa.string()),
            resolved_at=_times(np.where(resolved, left, -1)),
            decline_reason=pa.array(
                np.where(status == "declined", reasons, np.array(None)), pa.string()
            ),
        )

    def _hires(self, state: _State, here: Integers, at: Integers) -> None:
        rng, n = self.rng, len(here)
        hired = at + 21 * DAY
        leaves = rng.random(n) < self.c["leave_before_review"]
        left = hired + (rng.integers(30, 170, n) * DAY)
        self._add(
            "employees",
            employee_id=_ids("E", here),
            application_id=_ids("ats:A", here),
            work_email=_join(_ids("e", here), _repeat("@example.com", n)),
            full_name=self._names(n),
            hired_on=_dates(hired),
            left_on=_dates(np.where(leaves & (left < self.cut), left, -1)),
            leave_reason=pa.array(
                np.where(leaves & (left < self.cut), "personal", np.array(None)),
                pa.string(),
            ),
        )
        validity = self.c["validity"]
        rho, reliability = validity["true_composite"], validity["review_reliability"]
        performance = rho * state.general[here] + np.sqrt(
            1 - rho**2
        ) * rng.standard_normal(n)
        for cycle in range(1, 5):
            reviewed = hired + cycle * 182 * DAY
            there = (reviewed < self.cut) & ~(leaves & (left < reviewed))
            noise = rng.standard_normal(n)
            latent = 3.3 + 0.8 * (
                np.sqrt(reliability) * performance + np.sqrt(1 - reliability) * noise
            )
            self._add(
                "performance_reviews",
                review_id=_join(
                    _ids("R", here[there]), _repeat(f"-{cycle}", int(there.sum()))
                ),
                employee_id=_ids("E", here[there]),
                cycle=_repeat(f"cycle_{cycle}", int(there.sum())),
                reviewed_on=_dates(reviewed[there]),
                rating=pa.array(np.clip(np.rint(latent[there]), 1, 5)),
                rating_min=pa.array(np.ones(int(there.sum()))),
                rating_max=pa.array(np.full(int(there.sum()), 5.0)),
                kind=_repeat("manager", int(there.sum())),
            )

    def _application_table(self, state: _State) -> pa.Table:
        every = np.arange(self.n)
        status = np.where(state.terminal == None, "active", state.terminal)  # noqa: E711
        per_family = max(1, int(self.c["jobs"]) // len(self.families))
        return pa.table(
            {
                "application_id": _ids("A", every),
                "candidate_id": _ids("C", self._people()),
                "job_id": _ids("J", state.job),
                "applied_at": _times(state.applied_at),
                "status": pa.array(status.astype(str), pa.string()),
                "closed_at": _times(state.terminal_at),
                "source": pa.array(np.array(self.channels)[state.channel], pa.string()),
                "recruiter_id": _ids("P", state.job // max(1, per_family)),
            }
        )

    def _people(self) -> Integers:
        """Who applied; one in fifty applied before."""
        people = np.arange(self.n)
        again = self.rng.random(self.n) < 0.02
        again[: max(1, self.n // 10)] = False
        earlier = self.rng.integers(0, max(1, self.n // 10), int(again.sum()))
        people[again] = earlier
        self.person = people
        return people

    def _demographics(self, state: _State) -> pa.Table:
        n, rng = self.n, self.rng
        every = _ids("A", np.arange(n))
        sex = np.where(state.woman, "female", "male").astype(object)
        sex[rng.random(n) < self.c["declined"]] = "declined"
        groups = list(self.c["race_ethnicity"])
        race = np.array(groups, dtype=object)[
            rng.choice(len(groups), n, p=list(self.c["race_ethnicity"].values()))
        ]
        race[rng.random(n) < self.c["declined"]] = "declined"
        return pa.concat_tables(
            pa.table(
                {
                    "application_id": every,
                    "attribute": _repeat(attribute, n),
                    "value": pa.array(values, pa.string()),
                }
            )
            for attribute, values in (("sex", sex), ("race_ethnicity", race))
        )

    def _structure(self) -> dict[str, pa.Table]:
        """What does not move: jobs, stages, people who interview."""
        jobs = max(1, int(self.c["jobs"]) // len(self.families)) * len(self.families)
        per_family = jobs // len(self.families)
        family = np.repeat(np.array(self.families), per_family)
        stage_rows = [
            {
                "role_family": role_family,
                "stage": stage["stage"],
                "order": order,
                "stage_group": stage["group"],
                "round": next(
                    (
                        r["round"]
                        for r in self.c["rounds"]
                        if r["stage"] == stage["stage"]
                    ),
                    None,
                ),
                "sla_days": None
                if stage["sla_days"] is None
                else float(stage["sla_days"]),
                "waits_on": stage["waits_on"],
            }
            for role_family in self.families
            for order, stage in enumerate(self.stages, start=1)
        ]
        m = self.n_interviewers
        people = np.unique(self._candidates())
        return {
            "stages": pa.Table.from_pylist(stage_rows),
            "jobs": pa.table(
                {
                    "job_id": _ids("J", np.arange(jobs)),
                    "title": _join(
                        pa.array(family, pa.string()), _ids(" ", np.arange(jobs))
                    ),
                    "role_family": pa.array(family, pa.string()),
                    "department": _repeat("engineering", jobs),
                    "opened_at": _times(np.full(jobs, self.start)),
                }
            ),
            "interviewers": pa.table(
                {
                    "interviewer_id": _ids("I", np.arange(m)),
                    "full_name": self._names(m),
                    "department": pa.array(
                        np.array(self.families)[np.arange(m) % 3], pa.string()
                    ),
                    "is_bar_raiser": pa.array(np.arange(m) % 6 == 0),
                    "is_active": pa.array(np.ones(m, dtype=bool)),
                }
            ),
            "candidates": pa.table(
                {
                    "candidate_id": _ids("C", people),
                    "full_name": self._names(len(people)),
                    "email": _join(
                        _ids("c", people), _repeat("@example.org", len(people))
                    ),
                }
            ),
            "openings": pa.table(
                {
                    "opening_id": _ids("N", np.arange(jobs)),
                    "job_id": _ids("J", np.arange(jobs)),
                    "opened_at": _times(np.full(jobs, self.start)),
                    "filled_at": _times(
                        self.start + self.rng.integers(40, 160, jobs) * DAY
                    ),
                }
            ),
        }

    def _candidates(self) -> Integers:
        return np.arange(self.n)

    def _names(self, n: int) -> pa.Array:
        first = self.rng.choice(FIRST_NAMES, n)
        last = self.rng.choice(LAST_NAMES, n)
        return _join(
            pa.array(first, pa.string()), _repeat(" ", n), pa.array(last, pa.string())
        )

    def _add(self, entity: str, **columns: pa.Array) -> None:
        self.tables.setdefault(entity, []).append(pa.table(columns))


def _microseconds(day: Any) -> np.int64:
    return np.int64(np.datetime64(day, "us").astype(np.int64))


def _times(values: Integers) -> pa.Array:
    """UTC timestamps; negative means there is none."""
    array = np.asarray(values, dtype=np.int64)
    return pa.array(array, pa.int64(), mask=array < 0).cast(pa.timestamp("us"))


def _dates(values: Integers) -> pa.Array:
    array = np.asarray(values, dtype=np.int64)
    days = (array // DAY).astype(np.int32)
    return pa.array(days, pa.int32(), mask=array < 0).cast(pa.date32())


def _ids(prefix: str, numbers: Integers) -> pa.Array:
    return _join(_repeat(prefix, len(numbers)), pc.cast(pa.array(numbers), pa.string()))


def _join(*parts: pa.Array) -> pa.Array:
    return pc.binary_join_element_wise(*parts, "")


def _repeat(value: str | None, n: int) -> pa.Array:
    return pa.repeat(pa.scalar(value, pa.string()), n)
