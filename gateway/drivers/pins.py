"""PINs as argon2id hashes: one is made, and one is compared.

Each costs 19 MiB and tens of milliseconds (OWASP's figure for argon2id), so never in the event
loop, and one at a time.
"""

TIME_COST, MEMORY_KIB, LANES = 2, 19 * 1024, 1
# Of a text that nobody knows: comparing with it takes as long as with a person's.
NOBODYS = (
    "$argon2id$v=19$m=19456,t=2,p=1$"
    "G13wlcnqZySDZyPSjkk7Dw$Kh2biZjogv8lpTIvnP9dVpdNwGuE1PEafBYlE+0HMIA"
)


def hash_pin(pin: str) -> str:
    """Return the hash of a PIN, as it stands in people.yaml: `$argon2id$v=19$m=...`."""
    from argon2 import PasswordHasher  # noqa: PLC0415 - not before somebody types a PIN

    return PasswordHasher(TIME_COST, MEMORY_KIB, LANES).hash(pin)


def is_pin(known: str, pin: str) -> bool:
    """True when `pin` is the one that `known` was made of; False for anything else.

    With nothing known ("") it takes as long, so that time does not tell who works here.
    """
    from argon2 import PasswordHasher, exceptions  # noqa: PLC0415 - as above

    try:
        return PasswordHasher().verify(known or NOBODYS, pin)
    except (exceptions.VerificationError, exceptions.InvalidHashError, UnicodeError):
        return False
