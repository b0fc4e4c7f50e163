from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from generation.errors import UnknownName
from generation.model_card import ModelCard, ModelKind, ModelLayout
from service.catalog import Catalog
from service.database import Database
from service.file_hashes import FileHashes
from tests.fakes import PATIENCE


@pytest.fixture
def hashes(tmp_path: Path) -> FileHashes:
    return FileHashes(Database(tmp_path / "data/easel.db"))


@pytest.fixture
def make(hashes: FileHashes) -> Iterator[Callable[..., Catalog]]:
    made: list[Catalog] = []

    def make_catalog(*roots: Path) -> Catalog:
        made.append(Catalog(roots, hashes))
        return made[-1]

    yield make_catalog
    for catalog in made:
        catalog.close()


def put(root: Path, *names: str) -> None:
    for name in names:
        file = root / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(name.encode())


def put_diffusers(folder: Path, weights: str = "unet/diffusion_pytorch_model.safetensors") -> None:
    put(folder, "model_index.json", weights, "vae/diffusion_pytorch_model.safetensors")


def names(cards: list[ModelCard]) -> list[str]:
    return [card.name for card in cards]


# What is found


def test_folders_of_a1111_and_comfyui_are_both_read(tmp_path: Path, make: Callable[..., Catalog]) -> None:
    put(tmp_path, "Stable-diffusion/b.safetensors", "checkpoints/a.sft", "VAE/v.pt", "vae/w.ckpt", "c.ckpt")
    put(tmp_path, "Lora/no.safetensors", "Stable-diffusion/no.pt", "Stable-diffusion/no.txt", "VAE/no.png")
    catalog = make(tmp_path)
    assert names(catalog.checkpoints()) == ["a", "b", "c"]
    assert names(catalog.vaes()) == ["v", "w"]


def test_a_card_holds_the_facts_of_the_file(tmp_path: Path, make: Callable[..., Catalog]) -> None:
    put(tmp_path, "Stable-diffusion/anime/x.y.safetensors")
    (card,) = make(tmp_path).checkpoints()
    assert card == ModelCard(
        name="anime/x.y",
        filename="anime/x.y.safetensors",
        path=tmp_path / "Stable-diffusion/anime/x.y.safetensors",
        size=len("Stable-diffusion/anime/x.y.safetensors"),
    )


def test_a_diffusers_folder_is_one_checkpoint(tmp_path: Path, make: Callable[..., Catalog]) -> None:
    put_diffusers(tmp_path / "one")
    put_diffusers(tmp_path / "Stable-diffusion/sub/two")
    (tmp_path / "one/easel.json").write_text('{"default_steps": 12, "native_size": 256, "unknown": 1}')
    one, two = make(tmp_path).checkpoints()
    assert (one.name, two.name) == ("one", "sub/two")
    assert one.layout is two.layout is ModelLayout.DIFFUSERS
    assert (one.defaults.default_steps, one.defaults.native_size) == (12, 256)
    assert one.size > 0


@pytest.mark.parametrize("text", ["nonsense", "[]", '{"default_steps": "many"}', '{"default_sampler": "Nope"}'])
def test_a_bad_easel_json_is_ignored_with_a_warning(
    tmp_path: Path, make: Callable[..., Catalog], caplog: pytest.LogCaptureFixture, text: str
) -> None:
    put_diffusers(tmp_path / "one")
    (tmp_path / "one/easel.json").write_text(text)
    (card,) = make(tmp_path).checkpoints()
    assert card.defaults.default_steps is None
    assert "easel.json cannot be used" in caplog.text


def test_hidden_files_and_partial_downloads_are_ignored(tmp_path: Path, make: Callable[..., Catalog]) -> None:
    folder = "Stable-diffusion/"
    put(tmp_path, *(folder + name for name in (".x.safetensors", ".cache/x.ckpt", "x.safetensors.part")))
    put(tmp_path, *(folder + name for name in ("x.tmp", "x.safetensors.crdownload", "x.ckpt.aria2", "real.ckpt")))
    (tmp_path / folder / "dir.safetensors").mkdir()
    (tmp_path / folder / "dangling.ckpt").symlink_to(tmp_path / "gone.ckpt")
    assert names(make(tmp_path).checkpoints()) == ["real"]


def test_links_are_followed_and_loops_end(tmp_path: Path, make: Callable[..., Catalog]) -> None:
    put(tmp_path, "disk/deep/x.safetensors", "models/Stable-diffusion/y.safetensors")
    folder = tmp_path / "models/Stable-diffusion"
    (folder / "loop").symlink_to(folder)
    (folder / "disk").symlink_to(tmp_path / "disk")
    (tmp_path / "disk/deep/up").symlink_to(tmp_path / "disk")
    (folder / "same.safetensors").symlink_to(folder / "y.safetensors")
    assert names(make(tmp_path / "models").checkpoints()) == ["disk/deep/x", "same"]


def test_several_roots_are_one_catalogue(tmp_path: Path, make: Callable[..., Catalog]) -> None:
    put(tmp_path / "one", "Stable-diffusion/a.safetensors")
    put(tmp_path / "two", "models/Stable-diffusion/b.safetensors")  # a whole installation
    catalog = make(tmp_path / "one", tmp_path / "two", tmp_path / "one", tmp_path / "missing")
    assert names(catalog.checkpoints()) == ["a", "b"]


def test_names_that_clash_show_where_they_come_from(tmp_path: Path, make: Callable[..., Catalog]) -> None:
    put(tmp_path / "one", "Stable-diffusion/x.safetensors", "Stable-diffusion/y.ckpt", "Stable-diffusion/y.sft")
    put(tmp_path / "one", "checkpoints/x.safetensors")
    put(tmp_path / "two", "Stable-diffusion/z.safetensors")
    put(tmp_path / "three", "Stable-diffusion/Z.safetensors")
    catalog = make(tmp_path / "one", tmp_path / "two", tmp_path / "three")
    assert names(catalog.checkpoints()) == [
        "checkpoints/x",
        "Stable-diffusion/x",
        "three/Stable-diffusion/Z.safetensors",
        "two/Stable-diffusion/z.safetensors",
        "y.ckpt",
        "y.sft",
    ]
    for card in catalog.checkpoints():
        assert catalog.find(card.name) == catalog.find(card.title) == catalog.find(card.filename) == card
    with pytest.raises(UnknownName, match="Did you mean"):
        catalog.find("x")


def test_a_vae_beside_its_checkpoint_is_a_vae(tmp_path: Path, make: Callable[..., Catalog]) -> None:
    put(tmp_path, "Stable-diffusion/a.ckpt", "Stable-diffusion/a.vae.pt", "VAE/a.vae.safetensors", "VAE/b.pt")
    put(tmp_path, "Stable-diffusion/b.ckpt", "Stable-diffusion/c.ckpt")
    catalog = make(tmp_path)
    assert names(catalog.checkpoints()) == ["a", "b", "c"]
    beside = {card.name: catalog.vae_beside(card) for card in catalog.checkpoints()}
    assert beside["a"] is not None
    assert beside["a"].path == tmp_path / "Stable-diffusion/a.vae.pt"
    assert beside["b"] is not None
    assert beside["b"].path == tmp_path / "VAE/b.pt"
    assert beside["c"] is None


def test_the_demo_model_is_last_and_the_default_only_if_alone(
    tmp_path: Path, make: Callable[..., Catalog]
) -> None:
    put_diffusers(tmp_path / "demo")
    catalog = make(tmp_path)
    assert catalog.default() == catalog.checkpoints()[0]
    put(tmp_path, "Stable-diffusion/zebra.safetensors")
    catalog.refresh()
    assert names(catalog.checkpoints()) == ["zebra", "demo"]
    default = catalog.default()
    assert default is not None
    assert default.name == "zebra"


def test_an_unreadable_folder_is_skipped_with_a_warning(
    tmp_path: Path,
    make: Callable[..., Catalog],
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    put(tmp_path, "Stable-diffusion/a.ckpt", "Stable-diffusion/secret/b.ckpt")
    iterdir = Path.iterdir

    def guarded(self: Path) -> Iterator[Path]:
        if self.name == "secret":
            raise PermissionError(13, "Permission denied", str(self))
        return iterdir(self)

    monkeypatch.setattr(Path, "iterdir", guarded)
    assert names(make(tmp_path).checkpoints()) == ["a"]
    assert "secret cannot be read" in caplog.text


def test_without_models_there_is_no_default(tmp_path: Path, make: Callable[..., Catalog]) -> None:
    catalog = make(tmp_path / "models")
    assert catalog.default() is None
    assert catalog.checkpoints() == catalog.vaes() == []
    assert str(tmp_path / "models/Stable-diffusion") in catalog.where_to_put_models()
    with pytest.raises(UnknownName):
        catalog.find("x")


# Hashes


def test_hashes_come_in_the_background_and_stay(
    tmp_path: Path, make: Callable[..., Catalog], hashes: FileHashes
) -> None:
    put(tmp_path, "Stable-diffusion/a.ckpt", "VAE/v.pt")
    put_diffusers(tmp_path / "folder")
    catalog = make(tmp_path)
    assert {card.sha256 for card in catalog.checkpoints()} == {None}
    catalog.start_hashing()
    catalog.start_hashing()
    assert catalog.wait_for_hashes(PATIENCE)
    a, folder = catalog.checkpoints()
    assert a.sha256 == hashlib.sha256(b"Stable-diffusion/a.ckpt").hexdigest()
    assert a.title == f"a.ckpt [{a.short_hash}]"
    assert folder.sha256 == hashlib.sha256(b"unet/diffusion_pytorch_model.safetensors").hexdigest()
    assert Catalog([tmp_path], hashes).find("a").sha256 == a.sha256


def test_a_model_that_appears_later_is_hashed_too(tmp_path: Path, make: Callable[..., Catalog]) -> None:
    put(tmp_path, "Stable-diffusion/a.ckpt")
    catalog = make(tmp_path)
    catalog.start_hashing()
    assert catalog.wait_for_hashes(PATIENCE)
    put(tmp_path, "Stable-diffusion/b.ckpt")
    catalog.refresh()
    assert catalog.wait_for_hashes(PATIENCE)
    assert all(card.sha256 for card in catalog.checkpoints())


def test_a_big_file_blocks_neither_the_list_nor_the_end(tmp_path: Path, hashes: FileHashes) -> None:
    put(tmp_path, "Stable-diffusion/big.ckpt")
    reading = threading.Event()

    class SlowHashes(FileHashes):
        def compute(
            self, path: Path, is_cancelled: Callable[[], bool] = lambda: False, *, with_body: bool = False
        ) -> str | None:
            reading.set()
            while not is_cancelled():
                closed.wait(0.01)
            return None

    closed = threading.Event()
    catalog = Catalog([tmp_path], SlowHashes(Database(tmp_path / "data/easel.db")))
    catalog.start_hashing()
    assert reading.wait(PATIENCE)
    assert catalog.find("big").sha256 is None
    catalog.refresh()
    catalog.close()


def test_a_file_that_cannot_be_read_does_not_stop_the_others(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    put(tmp_path, "Stable-diffusion/a.ckpt", "Stable-diffusion/longer-name.ckpt")

    class Picky(FileHashes):
        def compute(
            self, path: Path, is_cancelled: Callable[[], bool] = lambda: False, *, with_body: bool = False
        ) -> str | None:
            if path.name == "a.ckpt":
                raise PermissionError(13, "Permission denied")
            return super().compute(path, is_cancelled)

    catalog = Catalog([tmp_path], Picky(Database(tmp_path / "data/easel.db")))
    catalog.start_hashing()
    assert catalog.wait_for_hashes(PATIENCE)
    catalog.close()
    assert [card.sha256 is None for card in catalog.checkpoints()] == [True, False]
    assert "No hash for" in caplog.text


def test_refreshing_from_many_threads_is_safe(tmp_path: Path, make: Callable[..., Catalog]) -> None:
    put(tmp_path, *(f"Stable-diffusion/{number}.ckpt" for number in range(20)))
    catalog = make(tmp_path)
    catalog.start_hashing()
    threads = [threading.Thread(target=catalog.refresh) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE)
    assert catalog.wait_for_hashes(PATIENCE)
    assert len({card.sha256 for card in catalog.checkpoints()}) == 20


# Finding


@pytest.fixture
def found(tmp_path: Path, make: Callable[..., Catalog]) -> Catalog:
    put(tmp_path, "Stable-diffusion/anime/Dreamer v2.safetensors", "Stable-diffusion/other.ckpt", "VAE/soft.pt")
    catalog = make(tmp_path)
    catalog.start_hashing()
    assert catalog.wait_for_hashes(PATIENCE)
    return catalog


def test_a_model_is_found_by_name_title_file_and_hash(found: Catalog) -> None:
    card = found.find("anime/Dreamer v2")
    sha256 = card.sha256 or ""
    ways = [
        card.title,
        card.filename,
        card.name.upper(),
        "anime\\dreamer v2",
        "Dreamer v2",
        "dreamer v2.safetensors",
    ]
    ways += [sha256, sha256[:10], sha256[:8].upper(), f"sha256:{sha256}"]
    ways += [f"renamed.ckpt [{sha256[:10]}]", f"  {card.name} "]
    for way in ways:
        assert found.find(way) == card, way


def test_a_title_from_before_the_hash_was_known_still_fits(tmp_path: Path, make: Callable[..., Catalog]) -> None:
    put(tmp_path, "Stable-diffusion/a.ckpt")
    catalog = make(tmp_path)
    assert catalog.find("a.ckpt [0123456789]").name == "a"
    catalog.start_hashing()
    assert catalog.wait_for_hashes(PATIENCE)
    assert catalog.find("a.ckpt").name == "a"
    with pytest.raises(UnknownName):  # another model of that name
        catalog.find("a.ckpt [0123456789]")


def test_kinds_are_not_mixed(found: Catalog) -> None:
    assert found.find("soft", ModelKind.VAE).kind is ModelKind.VAE
    with pytest.raises(UnknownName, match="Unknown checkpoint 'soft'"):
        found.find("soft")
    with pytest.raises(UnknownName, match="Unknown VAE 'other'") as error:
        found.find("other", ModelKind.VAE)
    assert error.value.field == "vae"


@pytest.mark.parametrize("name", ["", "  ", "[]", " []", "a [", "abc", "ffffffff", "/", "."])
def test_odd_names_are_unknown(found: Catalog, name: str) -> None:
    with pytest.raises(UnknownName):
        found.find(name)
