"""PINs and their hashes."""

from gateway.drivers.pins import hash_pin, is_pin

KNOWN = hash_pin("4711")


def test_a_pin_fits_its_own_hash_and_no_other_does():
    assert KNOWN.startswith("$argon2id$v=19$m=19456,t=2,p=1$")
    assert is_pin(KNOWN, "4711")
    assert not is_pin(KNOWN, "4712")
    assert not is_pin(KNOWN, "")
    assert not is_pin(KNOWN, "\ud800")


def test_two_people_with_one_pin_have_two_hashes():
    assert hash_pin("4711") != KNOWN


def test_what_is_no_hash_fits_nothing():
    for known in ("", "4711", "$argon2id$", KNOWN[:-4], "$2b$12$abc"):
        assert not is_pin(known, "4711")
