"""Where the keys of signing tags lie."""

from pathlib import Path

from gateway.config.load import load_site

SITE = Path(__file__).parent / "cases" / "tag_keys_half" / "site.yaml"


def loaded(folder, lines):
    site = folder / "site.yaml"
    kept = SITE.read_text("utf-8").partition("tag_keys:")[0]
    site.write_text(kept + lines, encoding="utf-8")
    return load_site(site)


def test_files_lie_beside_the_site_file_or_where_their_path_says(tmp_path):
    (tmp_path / "meta.key").write_text("00" * 16)
    (tmp_path / "other").mkdir()
    other = tmp_path / "other" / "file.key"
    other.write_text("11" * 16)
    keys = f"tag_keys: {{meta_read_file: meta.key, file_read_file: {other}, per_tag: false}}\n"
    found = loaded(tmp_path, keys)
    assert found.problems == ()
    assert found.site.tag_keys.meta_read == tmp_path / "meta.key"
    assert found.site.tag_keys.file_read == other
    assert found.site.tag_keys.is_per_tag is False


def test_a_house_without_them_has_none_and_a_file_may_come_later(tmp_path):
    assert loaded(tmp_path, "").site.tag_keys is None
    found = loaded(tmp_path, "tag_keys: {meta_read_file: a.key, file_read_file: b.key}\n")
    assert [problem.code for problem in found.problems] == ["file_missing", "file_missing"]
    assert found.site.tag_keys.is_per_tag is True
