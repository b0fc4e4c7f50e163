from __future__ import annotations

import json
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from generation.errors import InvalidRequest, StorageError, UnknownName, unknown_name
from service.preferences import Lookup, Preferences, PreferenceStore, Theme


@pytest.fixture
def store(tmp_path: Path) -> PreferenceStore:
    def find(name: str) -> str:
        if name not in ("a.ckpt", "b.ckpt", ""):
            raise unknown_name("checkpoint", name, ["a.ckpt", "b.ckpt"])
        return name

    lookup = Lookup(choices=lambda: ["a.ckpt", "b.ckpt"], resolve=find)
    return PreferenceStore(tmp_path / "data/preferences.json", {"sd_model_checkpoint": lookup})


def test_changes_survive_a_restart(store: PreferenceStore) -> None:
    assert store.get() == Preferences()
    changed = store.update(default_steps=33, theme="light", sd_model_checkpoint="b.ckpt")
    assert changed is store.get()
    assert PreferenceStore(store.path).get() == changed
    assert (changed.default_steps, changed.theme) == (33, Theme.LIGHT)


def test_only_what_differs_from_the_defaults_is_written(store: PreferenceStore) -> None:
    store.update(default_steps=33)
    assert json.loads(store.path.read_text()) == {"default_steps": 33}
    store.update(default_steps=20)
    assert json.loads(store.path.read_text()) == {}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("default_steps", 0),
        ("default_steps", "many"),
        ("preview_interval", -1),
        ("theme", "pink"),
        ("clip_skip", 13),
    ],
)
def test_a_bad_value_changes_nothing(store: PreferenceStore, name: str, value: object) -> None:
    with pytest.raises(InvalidRequest, match=f"{name}: .*, got {value!r}") as error:
        store.update(**{"default_cfg_scale": 3, name: value})
    assert error.value.field == name
    assert store.get() == Preferences()
    assert not store.path.exists()


def test_unknown_settings_and_names_are_refused_with_the_nearest(store: PreferenceStore) -> None:
    with pytest.raises(UnknownName, match=r"Unknown setting 'default_step'\. Did you mean 'default_steps'"):
        store.update(default_step=3)
    with pytest.raises(UnknownName, match=r"Unknown checkpoint 'c\.ckpt'"):
        store.update(sd_model_checkpoint="c.ckpt")
    with pytest.raises(UnknownName, match="Unknown sampler 'Euler b'"):
        store.update(default_sampler="Euler b")


def test_sampler_names_are_stored_as_we_write_them(store: PreferenceStore) -> None:
    changed = store.update(default_sampler="k_euler_a", default_schedule="KARRAS")
    assert (changed.default_sampler, changed.default_schedule) == ("Euler a", "Karras")


@pytest.mark.parametrize("content", ["{", "", "[1, 2]", "\x00\x01", '"text"', "nul"])
def test_a_damaged_file_is_kept_aside_and_the_defaults_are_used(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, content: str
) -> None:
    path = tmp_path / "preferences.json"
    path.write_text(content)
    assert PreferenceStore(path).get() == Preferences()
    (copy,) = tmp_path.glob("preferences.json.damaged-*")
    assert copy.read_text() == content
    assert "damaged" in caplog.text
    assert copy.name in caplog.text


def test_single_bad_settings_do_not_cost_the_others(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "preferences.json"
    path.write_text('{"default_steps": 33, "clip_skip": 99, "from_the_future": 1, "default_sampler": "Gone"}')
    assert PreferenceStore(path).get() == Preferences(default_steps=33)
    assert "cannot be used: clip_skip, from_the_future, default_sampler" in caplog.text
    assert len(list(tmp_path.glob("preferences.json.damaged-*"))) == 1


def test_a_file_that_cannot_be_read_for_now_is_left_alone(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "preferences.json"
    path.mkdir()
    assert PreferenceStore(path).get() == Preferences()
    assert "cannot be read" in caplog.text
    assert [entry.name for entry in tmp_path.iterdir()] == ["preferences.json"]


def test_a_full_disk_is_a_sentence_and_changes_nothing(
    store: PreferenceStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.update(default_steps=30)
    before = store.path.read_bytes()

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StorageError, match=r"could not be written to .*: No space left on device"):
        store.update(default_steps=40)
    assert store.get().default_steps == 30
    assert store.path.read_bytes() == before


def test_changes_from_many_threads_are_all_kept(store: PreferenceStore) -> None:
    names = {
        "default_steps": 31,
        "clip_skip": 2,
        "preview_size": 256,
        "live_previews": False,
        "default_cfg_scale": 3,
    }
    with ThreadPoolExecutor(5) as pool:
        list(pool.map(lambda item: store.update(**{item[0]: item[1]}), names.items()))
    assert PreferenceStore(store.path).get() == Preferences(**names)


def test_every_setting_can_be_shown(store: PreferenceStore) -> None:
    settings = {setting.name: setting for setting in store.describe()}
    assert settings.keys() == Preferences.model_fields.keys()
    for setting in settings.values():
        assert setting.group
        assert setting.label
        assert setting.type in (bool, int, float, str)
        assert type(setting.value) is type(setting.default) is setting.type
        assert setting.choices is None or setting.value in setting.choices
        if setting.type in (int, float):
            assert setting.minimum is not None
            assert setting.maximum is not None
            assert setting.step is not None
            assert setting.minimum <= setting.value <= setting.maximum


def test_a_setting_is_described_with_its_limits_and_choices(store: PreferenceStore) -> None:
    store.update(default_cfg_scale=5.5)
    settings = {setting.name: setting for setting in store.describe()}
    scale = settings["default_cfg_scale"]
    assert (scale.minimum, scale.maximum, scale.step, scale.default, scale.value) == (1, 30, 0.5, 7.0, 5.5)
    assert settings["theme"].choices == ("dark", "light", "system")
    assert "Euler a" in (settings["default_sampler"].choices or ())
    assert settings["default_schedule"].choices[0] == "Automatic"  # type: ignore[index]
    assert settings["live_previews"].type is bool
    assert settings["file_name_pattern"].choices is None


def test_a_stored_name_stays_visible_while_its_file_is_away(store: PreferenceStore) -> None:
    store.update(sd_model_checkpoint="a.ckpt")
    without = PreferenceStore(store.path, {"sd_model_checkpoint": Lookup(lambda: ["b.ckpt"], str)})
    assert without.describe()[0].choices == ("a.ckpt", "b.ckpt")
