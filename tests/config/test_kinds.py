from gateway.config.kinds import Kinds
from gateway.config.shipped import shipped_dir


def test_every_kind_of_the_shipped_files_is_found_by_its_name_alone():
    found = []
    kinds = Kinds(shipped_dir() / "rules", found)
    assert {name: kinds[name].name for name in kinds} == {name: name for name in kinds}
    assert {key for tree in kinds.trees for key in tree.data} == set(kinds)
    assert found == []


def test_a_file_is_read_only_when_one_of_its_kinds_is_asked_for():
    kinds = Kinds(shipped_dir() / "rules", [])
    assert kinds.trees == []
    assert kinds["residual_current"].unit == "mA"
    assert len(kinds.trees) == 1
    assert kinds.get("no_such_kind") is None
