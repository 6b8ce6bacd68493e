"""NTAG 424 DNA links against NXP's own examples.

AN12196 rev. 1.8, pages 12 and 18, and its plain mirror; AN10922 2.2.1. The custom keys and the LRP
links are those of nfc-developer/sdm-backend, tests/test_libsdm.py.
"""

import subprocess
import sys
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.domain.links import LinkUnsound, SignedRead
from gateway.drivers.sun import (
    SunKeys,
    cmac,
    diversified,
    mac_of,
    read_keys,
    verify,
)

ZERO = SunKeys(bytes(16), bytes(16))
PAGE_12 = "e=EF963FF7828658A599F3041510671E88&c=94EED9EE65337086"
PAGE_18 = (
    "picc_data=FD91EC264309878BE6345CBE53BADF40&enc=CEE9A53E3E463EF1F459635736738962"
    "&cmac=ECC1E7F6C6C73BF6"
)
PLAIN = "uid=041E3C8A2D6B80&ctr=000006&cmac=4B00064004B0B3D3"


def test_the_example_of_page_12_is_read():
    assert verify(PAGE_12, ZERO) == SignedRead("04DE5F1EACC040", 61)


def test_the_example_of_page_18_is_read_with_its_file_data():
    assert verify(PAGE_18, ZERO) == SignedRead("04958CAA5C5E80", 8, b"x" * 16)


def test_the_plain_mirror_is_read_and_its_counter_is_big_endian():
    assert verify(PLAIN, ZERO) == SignedRead("041E3C8A2D6B80", 6)


def test_keys_of_one_s_own_are_used_each_for_its_part():
    keys = SunKeys(
        bytes.fromhex("42aff114f2cb3b6141be6dc95dfc5416"),
        bytes.fromhex("b62a9baf092439bd43c62aee96b970c5"),
    )
    uid, counter = bytes.fromhex("041d3c8a2d6b80"), (291).to_bytes(3, "little")
    file = "B8436E11F627BB7F543FCC0C1E0D1A89"
    assert mac_of(keys.file, uid, counter, file.encode()).hex() == "238b2543a8debad8"
    mac = mac_of(keys.file, uid, counter, f"{file}&c=".encode()).hex()
    query = f"e=8ACADDEF0A9B62CDAE39A16B83FC14DE&enc={file}&c={mac}"
    decrypted = bytes.fromhex("4e545858716e6f5f6f42467077792d56")
    assert verify(query, keys) == SignedRead("041D3C8A2D6B80", 291, decrypted)
    for other in (replace(keys, file=keys.meta), replace(keys, meta=keys.file)):
        with pytest.raises(LinkUnsound, match="sun_forged"):
            verify(query, other)


def test_the_key_of_a_tag_is_derived_as_nxp_derives_it():
    master = bytes.fromhex("00112233445566778899AABBCCDDEEFF")
    what = bytes.fromhex("04782E21801D803042F54E585020416275")
    assert diversified(master, what).hex().upper() == "A8DD63A3B89D54B37CA802473FDA9175"
    with pytest.raises(ValueError, match="two blocks"):
        diversified(master, what[:15])


def test_a_house_can_have_one_key_for_each_tag():
    keys = SunKeys(bytes(16), bytes(range(16)), is_per_tag=True)
    uid, counter = bytes.fromhex("04DE5F1EACC040"), (61).to_bytes(3, "little")
    own = diversified(keys.file, uid + b"care-gateway")
    query = f"{PAGE_12.partition('&')[0]}&c={mac_of(own, uid, counter).hex()}"
    assert verify(query, keys) == SignedRead("04DE5F1EACC040", 61)
    with pytest.raises(LinkUnsound, match="sun_forged"):
        verify(query, replace(keys, is_per_tag=False))


@pytest.mark.parametrize("query", [PAGE_12, PAGE_18, PLAIN])
def test_one_flipped_bit_of_the_mac_is_refused(query):
    head, _, mac = query.rpartition("=")
    for bit in range(64):
        flipped = (int(mac, 16) ^ 1 << bit).to_bytes(8, "big").hex().upper()
        with pytest.raises(LinkUnsound, match="sun_forged"):
            verify(f"{head}={flipped}", ZERO)


@pytest.mark.parametrize("name", ["e", "picc_data", "enc", "uid", "ctr"])
def test_one_flipped_bit_of_what_is_signed_is_refused(name):
    query = next(each for each in (PAGE_12, PAGE_18, PLAIN) if f"{name}=" in each)
    before, _, rest = query.partition(f"{name}=")
    value, ampersand, after = rest.partition("&")
    for bit in range(4 * len(value)):
        flipped = f"{int(value, 16) ^ 1 << bit:0{len(value)}X}"
        with pytest.raises(LinkUnsound):
            verify(f"{before}{name}={flipped}{ampersand}{after}", ZERO)


@pytest.mark.parametrize(
    "query",
    [
        "picc_data=07D9CA2545881D4BFDD920BE1603268C0714420DD893A497&cmac=F9481AC7D855BDB6",
        "e=1FCBE61B3E4CAD980CBFDD333E7A4AC4A579569BAFD22C5F&c=4231608BA7B02BA9",
    ],
)
def test_lrp_links_are_told_apart(query):
    with pytest.raises(LinkUnsound, match="sun_lrp"):
        verify(query, ZERO)


@pytest.mark.parametrize("query", ["", "lang=en", "x", "&&&", "=", "a=b&c2=1"])
def test_a_plain_link_claims_nothing(query):
    assert verify(query, ZERO) is None


@pytest.mark.parametrize(
    "query",
    [
        "e=EF963FF7828658A599F3041510671E88", "c=94EED9EE65337086", "e=&c=", "e=zz&c=zz",
        "e=EF963FF7828658A599F3041510671E8&c=94EED9EE65337086", f"{PAGE_12}00",
        PAGE_18.replace("enc=CE", "enc="), "uid=041E3C8A2D6B80&cmac=4B00064004B0B3D3",
        "uid=041E3C8A2D6B&ctr=000006&cmac=4B00064004B0B3D3", PAGE_12.replace("9", "９"),
    ],
)  # fmt: skip
def test_half_a_signature_is_damaged(query):
    with pytest.raises(LinkUnsound):
        verify(query, ZERO)


def test_a_tag_that_does_not_mirror_its_counter_is_told_apart():
    from cryptography.hazmat.primitives.ciphers import Cipher, modes
    from cryptography.hazmat.primitives.ciphers.algorithms import AES

    plain = bytes([0x87]) + bytes.fromhex("04DE5F1EACC040") + bytes(8)
    encryptor = Cipher(AES(bytes(16)), modes.CBC(bytes(16))).encryptor()
    sealed = (encryptor.update(plain) + encryptor.finalize()).hex()
    with pytest.raises(LinkUnsound, match="sun_mirror"):
        verify(f"e={sealed}&c=94EED9EE65337086", ZERO)


@given(st.text(alphabet="ec=&0123456789ABCDEFf%x\x00é", max_size=120))
def test_whatever_comes_is_a_read_nothing_or_unsound(query):
    with suppress(LinkUnsound):
        assert verify(query, ZERO) is None


def test_cmac_is_that_of_rfc_4493():
    key = bytes.fromhex("2b7e151628aed2a6abf7158809cf4f3c")
    assert cmac(key, b"").hex() == "bb1d6929e95937287fa37d129b756746"
    assert cmac(key, bytes.fromhex("6bc1bee22e409f96e93d7e117393172a")).hex() == (
        "070a16b46b4d4144f79bdd9dd04a287c"
    )


def test_keys_are_read_from_files_and_a_bad_one_is_named(tmp_path):
    meta, file = tmp_path / "meta.key", tmp_path / "file.key"
    meta.write_text("00112233445566778899AABBCCDDEEFF\n")
    file.write_text("00" * 16)
    keys = read_keys(meta, file, is_per_tag=True)
    assert (keys.meta[1], keys.file, keys.is_per_tag) == (0x11, bytes(16), True)
    for bad in ("", "00" * 15, "xyz", "é" * 32):
        file.write_text(bad)
        with pytest.raises(ValueError, match=r"file\.key"):
            read_keys(meta, file, is_per_tag=True)


def test_the_library_is_loaded_only_when_a_link_is_verified():
    said = subprocess.run(
        [sys.executable, "-c", "import sys, gateway.drivers.sun; print(*sys.modules)"],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        check=True,
        text=True,
    ).stdout
    assert "gateway.drivers.sun" in said
    assert "cryptography" not in said
