"""Installed packages and archives of packages: only what their licences allow."""

import io
import tarfile
from pathlib import Path

import pytest

from fireside.core.errors import Invalid
from fireside.training import sources
from fireside.training.collect import packages
from fireside.training.collect.listing import listing
from fireside.training.collect.settings import CollectSettings

pytestmark = pytest.mark.train
CODE = (
    "def weigh_{0}(values):\n    total = {0}\n    for value in values:\n        total += value\n    return total\n\n\n"
)
MIT = "Permission is hereby granted, free of charge, to any person obtaining a copy ... The above copyright notice ..."


@pytest.fixture
def installed(tmp_path):
    """install(name, files, **metadata): as an installer leaves it; returns the place."""

    def install(name: str, files: dict[str, str], **metadata: str) -> Path:
        place = tmp_path / "installed"
        info = place / f"{name}-1.0.dist-info"
        info.mkdir(parents=True)
        told = "".join(f"{key.replace('_', '-')}: {value}\n" for key, value in metadata.items())
        (info / "METADATA").write_text(f"Metadata-Version: 2.4\nName: {name}\nVersion: 1.0\n{told}")
        record = [f"{info.name}/METADATA,,"]
        for path, text in files.items():
            (place / path).parent.mkdir(parents=True, exist_ok=True)
            (place / path).write_text(text)
            record.append(f"{path},,{len(text)}")
        (info / "RECORD").write_text("\n".join(record))
        return place

    return install


def listed(place: Path, **settings):
    found = packages.listed(CollectSettings(packages_from="environment", **settings), [str(place)])
    return {one.origin.name: one for one in found}


def test_the_first_statement_of_a_licence_counts(installed):
    code = {"one/a.py": CODE.format(1) * 3}
    place = installed("stated", code, License_Expression="Apache-2.0 OR MIT", License="GPL")
    installed("written", code, License="MIT License")
    installed("classified", code, License="see LICENSE", Classifier="License :: OSI Approved :: ISC License (ISCL)")
    installed("enclosed", code | {"enclosed-1.0.dist-info/LICENSE": MIT})
    found = listed(place)
    assert {name: one.origin.licence for name, one in found.items()} == {
        "stated": "Apache-2.0 OR MIT",
        "written": "MIT",
        "classified": "ISC",
        "enclosed": "MIT",
    }


def test_an_unknown_licence_is_for_a_private_model_only_and_a_strict_one_for_none(installed):
    place = installed("silent", {"silent/a.py": CODE.format(1) * 3})
    installed("strict", {"strict/a.py": CODE.format(2) * 3}, License_Expression="GPL-3.0-only")
    installed("mixed", {"mixed/a.py": CODE.format(3) * 3}, License_Expression="MPL-2.0 AND MIT")
    private, shared = listed(place), listed(place, shared=True)
    assert {name: len(one.files) for name, one in private.items()} == {"silent": 1, "strict": 0, "mixed": 0}
    assert not any(one.files for one in shared.values())
    assert shared["silent"].left_out == {"no permissive licence": 1}


def test_tests_and_copies_of_others_and_excluded_packages_are_left_out(installed):
    code = CODE.format(1) * 3
    files = {"good/a.py": code, "good/tests/test_a.py": code, "good/_vendor/b.py": code, "good/httpx/c.py": code}
    place = installed("good", files, License_Expression="MIT")
    installed("httpx", {"httpx/a.py": code}, License_Expression="MIT")
    found = listed(place)
    assert [entry.path for entry in found["good"].files] == ["good/a.py"]
    assert found["httpx"].left_out == {"on the list of what nothing is trained on": 1}


def test_a_large_package_does_not_outweigh_the_others(installed):
    files = {f"large/part_{number:02}.py": CODE.format(number) * 10 for number in range(30)}
    place = installed("large", files, License_Expression="MIT")
    (found,) = listed(place, package_bytes=10_000).values()
    assert 8_000 < found.bytes <= 10_000
    assert found.left_out["over the limit of its repository or package"] > 10


def test_a_package_that_is_not_installed_is_told_with_the_nearest(installed):
    place = installed("weights", {"weights/a.py": CODE.format(1)}, License_Expression="MIT")
    with pytest.raises(Invalid, match="no installed package weigths") as told:
        list(packages.listed(CollectSettings(packages=("weigths",)), [str(place)]))
    assert "weights" in told.value.remedy


def test_rows_of_a_package_carry_its_name_and_licence(collected):
    manifest, rows = collected(packages=("license-expression",), package_bytes=60_000)
    assert {row.repo for row in rows} == {"license-expression"}
    assert set(manifest.facts["licences"]) == {"Apache-2.0"}


def archive(path: Path, members: dict[str, str]) -> None:
    with tarfile.open(path, "w:gz") as tar:
        for name, text in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(text.encode())
            tar.addfile(member, io.BytesIO(text.encode()))


@pytest.fixture
def pinned(tmp_path):
    """A folder with an archive of a package of the pinned list, and Debian's account of its licences."""
    source = next(
        one for one in sources.listed() if one.client == "apt-source" and not one.inside and ":" not in one.version
    )
    folder = tmp_path / "archives"
    folder.mkdir()
    members = {f"top/src/part_{number}.py": CODE.format(number) * 4 for number in range(3)}
    archive(
        folder / f"{source.name}_1.orig.tar.gz",
        members | {"top/strict/a.py": CODE.format(9) * 4, "top/b.c": "int x;\n" * 60},
    )
    account = f"Files: *\nLicense: {source.licence}\n\nFiles: strict/*\nLicense: GPL-3+\n"
    archive(folder / f"{source.name}_1.debian.tar.xz.gz", {"debian/copyright": account})
    return folder, source


def test_an_archive_gives_the_files_whose_own_licence_allows_it(pinned, collected):
    folder, source = pinned
    manifest, rows = collected(archives=str(folder), languages=("python",), near_duplicates=0.0, shared=True)
    assert {row.path for row in rows} == {f"src/part_{number}.py" for number in range(3)}
    assert {(row.repo, row.licence) for row in rows} == {(source.name, source.licence)}
    assert manifest.facts["left_out"]["no permissive licence"] == 1
    assert manifest.facts["left_out"]["another language"] == 1


def test_a_damaged_archive_is_counted(pinned, collected, repository):
    folder, source = pinned
    place = folder / f"{source.name}_1.orig.tar.gz"
    place.write_bytes(place.read_bytes()[:200])
    manifest, rows = collected(archives=str(folder), repositories=(str(repository),))
    assert {row.repo for row in rows} == {"ships"}
    assert any(reason.startswith("a damaged archive") for reason in manifest.facts["left_out"])


def test_a_folder_without_archives_of_the_list_is_refused(tmp_path):
    with pytest.raises(Invalid, match="no archive of the pinned list"):
        listing(CollectSettings(archives=str(tmp_path)))
