import pytest
import yaml

from orchestration.settings import (
    SOURCES_TEMPLATE,
    Home,
    Policy,
    SettingsError,
    load_settings,
    load_yaml,
    parse_as_of,
    policy_template,
)


def test_a_home_without_files_has_every_default(tmp_path):
    settings = load_settings(tmp_path)

    assert settings.policy == Policy()
    assert set(settings.origins.values()) == {"default"}


def test_each_origin_is_told_and_the_environment_wins(tmp_path, monkeypatch):
    (tmp_path / "policy.yaml").write_text("smallest_group_size: 7\nhorizon_days: 60\n")
    monkeypatch.setenv("CALIBRANT_HORIZON_DAYS", "45")

    settings = load_settings(tmp_path)

    assert settings.policy.smallest_group_size == 7
    assert settings.policy.horizon_days == 45
    assert settings.origins["smallest_group_size"] == "policy.yaml"
    assert settings.origins["horizon_days"] == "environment"
    assert settings.origins["seed"] == "default"


def test_an_unknown_setting_is_named_with_what_is_known(tmp_path):
    (tmp_path / "policy.yaml").write_text("smallest_group: 7\n")

    with pytest.raises(SettingsError, match=r"smallest_group.*known:.*horizon_days"):
        load_settings(tmp_path)


def test_a_value_out_of_range_is_named_with_the_value(tmp_path):
    (tmp_path / "policy.yaml").write_text("maximum_shrinkage: 3\n")

    with pytest.raises(SettingsError, match=r"maximum_shrinkage.*got 3"):
        load_settings(tmp_path)


def test_an_unknown_time_zone_is_refused(tmp_path):
    (tmp_path / "sources.yaml").write_text("sources: {csv: {timezone: Mars/Olympus}}\n")

    with pytest.raises(SettingsError, match="unknown time zone 'Mars/Olympus'"):
        load_settings(tmp_path)


def test_an_alias_bomb_is_refused_with_its_line(tmp_path):
    path = tmp_path / "bomb.yaml"
    path.write_text("a: &a [x, x]\nb: &b [*a, *a]\nc: [*b, *b]\n")

    with pytest.raises(SettingsError, match=r"line 2, column \d+: aliases"):
        load_yaml(path)


def test_a_huge_settings_file_is_refused_before_it_is_parsed(tmp_path):
    path = tmp_path / "policy.yaml"
    path.write_text("# " + "x" * 1_000_001)

    with pytest.raises(SettingsError, match="over 1 MB"):
        load_yaml(path)


@pytest.mark.parametrize("text", ["- 1\n- 2\n", "a: [1\n", "\x00"])
def test_what_is_no_mapping_is_refused_with_the_file(tmp_path, text):
    path = tmp_path / "policy.yaml"
    path.write_text(text)

    with pytest.raises(SettingsError, match=r"policy\.yaml"):
        load_yaml(path)


def test_the_templates_are_valid_and_change_nothing(tmp_path):
    (tmp_path / "policy.yaml").write_text(policy_template())
    (tmp_path / "sources.yaml").write_text(SOURCES_TEMPLATE)

    settings = load_settings(tmp_path)

    assert settings.policy == Policy()
    assert settings.sources.sources == {}


def test_the_policy_template_uncommented_is_the_default_policy():
    lines = [
        line.removeprefix("# ")
        for line in policy_template().splitlines()
        if line.startswith("# ") and ": " in line and " " not in line[2:].split(":")[0]
    ]

    assert Policy.model_validate(yaml.safe_load("\n".join(lines))) == Policy()


def test_a_home_is_taken_from_the_environment(tmp_path, monkeypatch):
    monkeypatch.setenv("CALIBRANT_HOME", str(tmp_path / "there"))

    assert Home.resolve().root == tmp_path / "there"
    assert Home.resolve(tmp_path / "here").root == tmp_path / "here"


def test_a_date_that_is_none_is_refused_with_an_example():
    with pytest.raises(SettingsError, match="expected a date such as"):
        parse_as_of("30.09.2026")
