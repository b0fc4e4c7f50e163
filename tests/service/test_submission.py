from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from generation.errors import InvalidRequest, UnknownName, UserError
from generation.request import RANDOM_SEEDS, GenerationRequest, make_request
from service.catalog import Catalog
from service.database import Database
from service.file_hashes import FileHashes
from service.limits import Limits
from service.preferences import PreferenceStore
from service.submission import Resolver, checked_job_id


@pytest.fixture
def resolver(tmp_path: Path, models_dir: Path) -> Resolver:
    (models_dir / "Stable-diffusion/sketcher.ckpt").write_bytes(b"sketcher")
    tiny = models_dir / "tiny"
    tiny.mkdir()
    (tiny / "model_index.json").write_text("{}")
    (tiny / "easel.json").write_text(
        '{"native_size": 256, "default_steps": 12, "default_cfg_scale": 4.5, "default_sampler": "DDIM",'
        ' "default_schedule": "Karras"}'
    )
    catalog = Catalog([models_dir], FileHashes(Database(tmp_path / "easel.db")))
    return Resolver(catalog, PreferenceStore(tmp_path / "preferences.json"), Limits(max_steps=150))


def test_random_seeds_are_drawn_and_given_ones_stay(resolver: Resolver) -> None:
    drawn = [resolver.resolve(make_request()).job.request for _ in range(20)]
    assert all(0 <= request.seed < RANDOM_SEEDS for request in drawn)
    assert all(0 <= request.variation_seed < RANDOM_SEEDS for request in drawn)
    assert len({request.seed for request in drawn}) == 20
    given_ = resolver.resolve(make_request(seed=0, variation_seed=2**63 - 1)).job.request
    assert (given_.seed, given_.variation_seed) == (0, 2**63 - 1)


def test_the_request_as_sent_is_kept_beside_the_resolved_one(resolver: Resolver) -> None:
    asked = make_request(prompt="a cat")
    submission = resolver.resolve(asked, owner="ann", job_id="mine")
    assert submission.asked is asked
    assert (submission.job.id, submission.job.owner) == ("mine", "ann")
    assert submission.job.request.model == submission.job.checkpoint.name == "painter"


@pytest.mark.parametrize("name", ["sketcher", "SKETCHER.ckpt", " sketcher "])
def test_a_model_is_found_by_what_the_request_calls_it(resolver: Resolver, name: str) -> None:
    assert resolver.resolve(make_request(model=name)).job.checkpoint.filename == "sketcher.ckpt"


def test_an_unknown_model_names_the_nearest(resolver: Resolver) -> None:
    with pytest.raises(UnknownName, match=r"Unknown checkpoint 'paintr'\. Did you mean 'painter'") as error:
        resolver.resolve(make_request(model="paintr"))
    assert error.value.field == "model"
    with pytest.raises(UnknownName, match="Unknown VAE 'crips'"):
        resolver.resolve(make_request(vae="crips"))


def test_without_a_model_in_the_request_the_preferred_one_is_used(resolver: Resolver) -> None:
    resolver.preferences.update(sd_model_checkpoint="sketcher.ckpt", sd_vae="crisp.safetensors")
    submission = resolver.resolve(make_request())
    assert submission.job.checkpoint.name == "sketcher"
    assert submission.job.vae is not None
    assert submission.job.vae.name == "crisp"
    assert submission.warnings == ()


def test_a_preferred_model_that_is_gone_is_replaced_with_a_warning(resolver: Resolver) -> None:
    resolver.preferences.update(sd_model_checkpoint="gone.safetensors", sd_vae="gone.pt")
    submission = resolver.resolve(make_request())
    assert submission.job.checkpoint.name == "painter"
    assert submission.job.vae is None
    assert len(submission.warnings) == 2
    assert "'gone.safetensors' was not found; 'painter' was used instead" in submission.warnings[0]
    with pytest.raises(UnknownName):  # asked for by name it is an error
        resolver.resolve(make_request(vae="gone2.pt"))


def test_without_any_model_the_error_says_where_to_put_one(resolver: Resolver, tmp_path: Path) -> None:
    empty = Catalog([tmp_path / "nothing"], FileHashes(Database(tmp_path / "other.db")))
    resolver = Resolver(empty, resolver.preferences, Limits())
    with pytest.raises(UserError, match=r"No model was found\. Put a \.safetensors file into .*Stable-diffusion"):
        resolver.resolve(make_request())


def test_automatic_takes_the_vae_named_after_the_checkpoint(resolver: Resolver, models_dir: Path) -> None:
    assert resolver.resolve(make_request(model="painter")).job.vae is None
    (models_dir / "Stable-diffusion/painter.vae.pt").write_bytes(b"vae")
    resolver.catalog.refresh()
    vae = resolver.resolve(make_request(model="painter")).job.vae
    assert vae is not None
    assert vae.filename == "painter.vae.pt"
    assert resolver.resolve(make_request(model="painter", vae="None")).job.vae is None


def test_unset_fields_come_from_the_preferences(resolver: Resolver) -> None:
    resolver.preferences.update(
        default_sampler="Euler a",
        default_schedule="Karras",
        default_steps=33,
        default_cfg_scale=4,
        clip_skip=2,
        eta_noise_seed_delta=31337,
        save_images=False,
    )
    request = resolver.resolve(make_request(model="painter")).job.request
    assert (request.sampler, request.schedule, request.steps, request.cfg_scale) == ("Euler a", "Karras", 33, 4)
    assert (request.clip_skip, request.sampling.eta_noise_seed_delta, request.save) == (2, 31337, False)


def test_set_fields_win_over_preferences_and_model(resolver: Resolver) -> None:
    resolver.preferences.update(clip_skip=2, save_images=False, eta_noise_seed_delta=5)
    values = {
        "steps": 20,
        "cfg_scale": 7.0,
        "sampler": "Heun",
        "schedule": "Automatic",
        "clip_skip": 1,
        "save": True,
    }
    asked = make_request(model="tiny", width=512, sampling={"eta_noise_seed_delta": 0}, **values)
    request = resolver.resolve(asked).job.request
    assert {name: getattr(request, name) for name in values} == values
    assert (request.width, request.height) == (512, 512)
    assert request.sampling.eta_noise_seed_delta == 0


def test_what_suits_the_model_wins_over_preferences(resolver: Resolver) -> None:
    resolver.preferences.update(default_steps=99)
    request = resolver.resolve(make_request(model="tiny")).job.request
    assert (request.width, request.height, request.steps, request.cfg_scale) == (256, 256, 12, 4.5)
    assert (request.sampler, request.schedule) == ("DDIM", "Karras")


def test_a_later_change_of_the_preferences_does_not_touch_a_submission(resolver: Resolver) -> None:
    before = resolver.resolve(make_request())
    resolver.preferences.update(default_steps=77, file_name_pattern="[none]")
    assert before.job.request.steps == 20
    assert before.preferences.file_name_pattern == "[seed]-[prompt_spaces]"


def test_limits_are_checked_on_the_resolved_request(resolver: Resolver) -> None:
    with pytest.raises(InvalidRequest, match="200 steps"):
        resolver.resolve(make_request(steps=200))


def test_hashes_that_became_known_reach_a_submission_before_it_runs(resolver: Resolver) -> None:
    submission = resolver.resolve(make_request(model="painter", vae="crisp"))
    assert submission.job.checkpoint.sha256 is None
    resolver.catalog.start_hashing()
    assert resolver.catalog.wait_for_hashes(20)
    job = resolver.brought_up_to_date(submission).job
    assert job.checkpoint.short_hash is not None
    assert job.vae is not None
    assert job.vae.short_hash is not None
    resolver.catalog.close()


def test_new_job_ids_cannot_be_guessed() -> None:
    ids = {checked_job_id(None) for _ in range(1000)}
    assert len(ids) == 1000
    assert min(map(len, ids)) >= 22  # 128 bits


@given(st.from_regex(r"[A-Za-z0-9_~()][A-Za-z0-9._~()-]{0,127}", fullmatch=True))
def test_clients_may_choose_plain_ids(job_id: str) -> None:
    assert checked_job_id(job_id) == job_id


@pytest.mark.parametrize("job_id", ["", ".", "..", "a b", "a/b", "ü", "a\n", "x" * 129, "<script>", "%2e", "a?b"])
def test_ids_that_could_mean_something_else_in_a_url_are_refused(job_id: str) -> None:
    with pytest.raises(InvalidRequest, match="cannot be used") as error:
        checked_job_id(job_id)
    assert error.value.field == "id"


def test_every_field_survives_resolving(resolver: Resolver) -> None:
    asked = make_request(prompt="p", negative_prompt="n", seed=3, batch_size=2, extras={"x": 1}, noise_source="NV")
    request = resolver.resolve(asked).job.request
    changed = {name for name in GenerationRequest.model_fields if getattr(request, name) != getattr(asked, name)}
    assert changed == {"model", "variation_seed"}
