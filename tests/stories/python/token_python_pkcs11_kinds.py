"""Keys of many kinds under python-pkcs11: those of a session are gone with it, a copy outlives it.

Arguments: module, token, PIN.
"""

import sys

import pkcs11
from pkcs11 import Attribute, KeyType, Mechanism, ObjectClass
from pkcs11.util.ec import encode_named_curve_parameters

# 1.3.101.112 (RFC 8410, 3).
ED25519 = bytes.fromhex("06032b6570")

module, token_label, pin = sys.argv[1:]
token = pkcs11.lib(module).get_token(token_label=token_label)


def pairs(session):
    """Each kind of pair, with the mechanism it signs with."""
    curve = {Attribute.EC_PARAMS: encode_named_curve_parameters("secp256r1")}
    edwards = {Attribute.EC_PARAMS: ED25519}
    ec = session.create_domain_parameters(KeyType.EC, curve, local=True)
    ed = session.create_domain_parameters(KeyType.EC_EDWARDS, edwards, local=True)
    yield ec.generate_keypair(store=False), Mechanism.ECDSA_SHA256
    make = Mechanism.EC_EDWARDS_KEY_PAIR_GEN
    yield ed.generate_keypair(mechanism=make, store=False), Mechanism.EDDSA
    yield session.generate_keypair(KeyType.RSA, 2048, store=False), Mechanism.SHA256_RSA_PKCS


with token.open(user_pin=pin, rw=True) as session:
    before = len(list(session.get_objects()))
    for (public, private), mechanism in pairs(session):
        assert private[Attribute.TOKEN] is False
        signature = private.sign(b"hello", mechanism=mechanism)
        assert public.verify(b"hello", signature, mechanism=mechanism), mechanism
        assert not public.verify(b"hullo", signature, mechanism=mechanism), mechanism

    secret = session.generate_key(KeyType.AES, 256, label="secret", store=False)
    iv = session.generate_random(128)
    sealed = secret.encrypt(b"hello" * 10, mechanism_param=iv)
    assert len(sealed) == 64 and secret.decrypt(sealed, mechanism_param=iv) == b"hello" * 10
    try:
        secret.decrypt(sealed[:-1], mechanism_param=iv)
        raise SystemExit("a torn text was opened")
    except pkcs11.exceptions.EncryptedDataLenRange:
        pass

    kept = secret.copy({Attribute.TOKEN: True, Attribute.LABEL: "kept"})
    assert kept[Attribute.TOKEN] is True and secret.label == "secret"
    session.seed_random(b"a few more bits")
    assert session.generate_random(256) != session.generate_random(256)

with token.open(user_pin=pin, rw=True) as session:
    assert len(list(session.get_objects())) == before + 1
    copy = session.get_key(object_class=ObjectClass.SECRET_KEY, label="kept")
    assert copy.decrypt(sealed, mechanism_param=iv) == b"hello" * 10
    copy.destroy()

print("done")
