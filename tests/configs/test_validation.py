"""Plain data judged by the schema, and back."""

from typing import Any

import pytest
from pydantic.fields import FieldInfo

from configs.compose import compose
from configs.errors import ConfigError
from configs.keys import known_keys
from configs.rules import broken_rules
from configs.schema import Config, Section
from configs.validation import shown, validated, with_changes


@pytest.fixture(scope="module")
def default() -> Config:
    return compose()


def test_plain_data_and_back_is_the_same_config() -> None:
    config = compose(["model.padding=zero", "resume=auto", "data.folder.palette=[[1,2,3]]", "data.limit=5"])
    plain = config.model_dump()
    assert validated(Config, plain) == config
    assert plain["model"]["padding"] == "zero" and plain["resume"] == "auto"
    assert plain["data"]["folder"]["palette"] == [[1, 2, 3]]


def test_plain_data_holds_nothing_but_what_a_checkpoint_may_carry(default: Config) -> None:
    def walk(value: Any) -> None:
        if isinstance(value, dict | list):
            for inner in value.values() if isinstance(value, dict) else value:
                walk(inner)
        else:
            assert value is None or type(value) in (bool, int, float, str)

    walk(default.model_dump())


def test_plain_data_is_refused_key_by_key(default: Config) -> None:
    plain = default.model_dump()
    plain["model"]["contxt"] = {}
    plain["seed"] = "x"
    plain["model"]["padding"] = "none"
    with pytest.raises(ConfigError) as refusal:
        validated(Config, plain)
    assert len(refusal.value.problems) == 3 and 'no key "contxt" in model' in str(refusal.value)


def test_plain_data_is_never_resolved(default: Config) -> None:
    plain = default.model_dump() | {"experiment": "${oc.env:HOME}"}
    assert validated(Config, plain).experiment == "${oc.env:HOME}"


def test_missing_keys_take_their_defaults() -> None:
    assert validated(Config, {"seed": 3}) == Config(seed=3)


def test_changes_reach_only_the_keys_they_name() -> None:
    before = compose(["data.augment.rotation_deg=5"]).data
    after = with_changes(before, {"root": "/data", "augment": {"color": 0.5}}, "data")
    assert (after.root, after.augment.color, after.augment.rotation_deg) == ("/data", 0.5, 5)
    assert before.root is None
    with pytest.raises(ConfigError, match=r'data.augment.colour: there is no key "colour".*data.augment.color'):
        with_changes(before, {"augment": {"colour": 1}}, "data")


def test_every_default_of_the_schema_lies_within_its_own_bounds_and_types() -> None:
    assert validated(Config, Config().model_dump()) == Config()
    assert broken_rules(Config()) == []


def test_every_key_is_reachable_from_the_command_line(default: Config) -> None:
    """Each leaf of the schema, set to the value that it has."""

    def words(section: Section, parent: str) -> list[str]:
        overrides = []
        for name, value in section:
            if isinstance(value, Section):
                overrides += words(value, f"{parent}{name}.")
            elif f"{parent}{name}" != "experiment":  # a group: `experiment=NAME` chooses a file
                overrides.append(f"{parent}{name}={shown(value)}")
        return overrides

    every = words(default, "")
    leaves = {name for name, key in known_keys(Config).items() if isinstance(key, FieldInfo)} - {"experiment"}
    assert {word.partition("=")[0] for word in every} == leaves
    assert compose(every) == default
