from __future__ import annotations

from pathlib import Path

import pytest

from generation.errors import InvalidRequest, StorageError, UnknownName
from generation.request import make_request
from service.history_search import Search
from service.services import Services
from tests.fakes import PATIENCE


@pytest.fixture
def picture(services: Services) -> int:
    """The row of a saved picture of ann's."""
    job = services.generation.submit(make_request(prompt="a cat"), owner="ann")
    services.generation.wait(job, timeout=PATIENCE)
    return services.history.recent()[0].id


def test_a_trashed_picture_leaves_the_gallery_and_comes_back(services: Services, picture: int) -> None:
    before = services.history.get(picture)
    content = before.path.read_bytes()
    trashed = services.trash.put(picture)
    assert not before.path.exists()
    assert trashed.path.read_bytes() == content
    assert trashed.trashed is not None
    assert (services.history.count(), services.history.count_found(Search(is_trashed=True))) == (0, 1)
    assert services.trash.put(picture) == trashed
    assert services.trash.restore(picture) == before
    assert before.path.read_bytes() == content
    assert services.trash.restore(picture) == before


def test_a_restored_picture_takes_another_name_if_its_own_is_taken(services: Services, picture: int) -> None:
    path = services.history.get(picture).path
    services.trash.put(picture)
    path.write_bytes(b"somebody else's")
    restored = services.trash.restore(picture)
    assert restored.path == path.with_name(f"{path.stem} (2).png")
    assert path.read_bytes() == b"somebody else's"


def test_emptying_the_trash_is_for_good_and_for_one_owner(services: Services, picture: int) -> None:
    path = services.trash.put(picture).path
    assert services.trash.empty(owner="bob") == 0
    assert path.exists()
    assert services.trash.empty(owner="ann") == 1
    assert not path.exists()
    with pytest.raises(UnknownName):
        services.history.get(picture)
    assert services.trash.empty() == 0


def test_favourites_are_protected(services: Services, picture: int) -> None:
    services.history.set_favourite(picture, True)
    with pytest.raises(InvalidRequest, match="favourite and therefore protected"):
        services.trash.put(picture)
    assert services.history.get(picture).path.exists()


def test_others_cannot_trash_or_restore(services: Services, picture: int) -> None:
    for change in (services.trash.put, services.trash.restore):
        with pytest.raises(UnknownName):
            change(picture, owner="bob")


def test_a_picture_whose_file_is_gone_can_still_be_deleted(services: Services, picture: int) -> None:
    services.history.get(picture).path.unlink()
    services.trash.put(picture)
    assert services.trash.empty() == 1


def test_files_outside_the_outputs_folder_are_never_touched(
    services: Services, picture: int, tmp_path: Path
) -> None:
    elsewhere = tmp_path / "elsewhere.png"
    elsewhere.write_bytes(b"mine")
    services.history.note_moved(picture, elsewhere, None)
    assert services.trash.put(picture).path == elsewhere
    assert services.trash.empty() == 1
    assert elsewhere.read_bytes() == b"mine"


def test_a_folder_that_cannot_be_written_is_a_sentence(services: Services, picture: int) -> None:
    (services.outputs.root / ".trash").write_text("a file in the way")
    with pytest.raises(StorageError, match="could not be moved"):
        services.trash.put(picture)
    assert services.history.get(picture).trashed is None
