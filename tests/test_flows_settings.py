"""Settings: one model, read from three formats, unknown names refused."""

from pathlib import Path

import pytest

from flows.errors import InputError
from flows.settings import DetectSettings, read_settings

FILES = {
    "c.toml": "seed = 5\nviews = ['full']\n[sample]\ncap = 7\n[columns]\nprompt = 'text'\n",
    "c.yaml": "seed: 5\nviews: [full]\nsample:\n  cap: 7\ncolumns:\n  prompt: text\n",
    "c.json": '{"seed": 5, "views": ["full"], "sample": {"cap": 7}, "columns": {"prompt": "text"}}',
}


@pytest.mark.parametrize("name", FILES)
def test_toml_yaml_and_json_say_the_same(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text(FILES[name])
    settings = read_settings(tmp_path / name)
    assert (settings.seed, settings.sample.cap, settings.columns["prompt"]) == (5, 7, "text")
    assert settings.sample.budget == DetectSettings().sample.budget


def test_the_command_line_comes_before_the_file_and_only_for_what_it_names(tmp_path: Path) -> None:
    (tmp_path / "c.toml").write_text(FILES["c.toml"])
    settings = read_settings(tmp_path / "c.toml", seed=9, encoder=None, sample={"budget": 3})
    assert (settings.seed, settings.sample.cap, settings.sample.budget) == (9, 7, 3)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("seeed = 1", "seeed: is not a setting"),
        ("[sample]\ncaps = 1", "sample.caps: is not a setting"),
        ("[sample]\ncap = 0", "sample.cap: Input should be greater than or equal to 1"),
        ("[columns]\nprompts = 'x'", "columns.prompts"),
        ("views = []", "views: expected different views"),
        ("views = ['skeleton']", "views: expected different views, 'full' among them"),
        ("views = ['full', 'run', 'full']", "views: expected different views"),
        ("[index]\nfactory = 'nonsense'", "index: expected a FAISS index-factory string"),
        ("[index]\nfactory = 'PCA16,IDMap2,Flat'", "such as IVF256,Flat, without IDMap"),
        ("seed = ", "cannot read"),
    ],
)
def test_an_unknown_or_wrong_setting_is_refused_by_name(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "c.toml").write_text(text)
    with pytest.raises(InputError) as error:
        read_settings(tmp_path / "c.toml")
    assert said in str(error.value)
    assert "\n" not in str(error.value)


def test_a_config_that_breaks_off_is_told_by_its_line(tmp_path: Path) -> None:
    for name, text in (("c.yaml", "seed: 1\nviews: full: run"), ("c.toml", "seed = 1\nviews = full"),
                       ("c.json", '{"seed": 1,\n}')):  # fmt: skip
        (tmp_path / name).write_text(text)
        with pytest.raises(InputError, match="line 2"):
            read_settings(tmp_path / name)


def test_a_config_file_of_another_kind_or_not_there_is_refused(tmp_path: Path) -> None:
    (tmp_path / "c.json").write_text("[1]")
    for name, said in [("c.ini", "ends in .toml"), ("no.toml", "cannot read"), ("c.json", "found list")]:
        with pytest.raises(InputError, match=said):
            read_settings(tmp_path / name)


def test_settings_survive_json_and_make_a_form() -> None:
    settings = read_settings(None, views=["skeleton", "full"], clusters={"selection": "leaf"})
    assert DetectSettings.model_validate_json(settings.model_dump_json()) == settings
    form = DetectSettings.model_json_schema()
    for name, field in form["properties"].items():  # a section may be described where it is defined
        section = form["$defs"].get(field.get("$ref", "").rpartition("/")[2], {})
        assert field.get("description") or section.get("description"), name
    assert form["$defs"]["SampleSettings"]["properties"]["cap"]["minimum"] == 1
    assert form["$defs"]["FineClusters"]["properties"]["selection"]["enum"] == ["eom", "leaf"]
