"""A token under python-pkcs11: everything is found by what it is, used, and what can not be is said to be so.

Arguments: module, token, PIN, label of the key, backend.
"""

import hashlib
import sys

import pkcs11
from pkcs11 import Attribute, KeyType, Mechanism, ObjectClass
from pkcs11.util.ec import encode_named_curve_parameters

module, token_label, pin, key_label, backend = sys.argv[1:]
token = pkcs11.lib(module).get_token(token_label=token_label)

with token.open(user_pin=pin, rw=True) as session:
    private = session.get_key(object_class=ObjectClass.PRIVATE_KEY, label=key_label)
    public = session.get_key(object_class=ObjectClass.PUBLIC_KEY, id=private.id)
    certificate = next(
        session.get_objects({Attribute.CLASS: ObjectClass.CERTIFICATE, Attribute.ID: private.id})
    )
    assert certificate[Attribute.VALUE][0] == 0x30

    # Leaving a search in the middle ends it: the next one may begin.
    for _ in session.get_objects():
        break
    assert len(list(session.get_objects())) >= 3

    signature = private.sign(b"hello", mechanism=Mechanism.ECDSA_SHA256)
    assert public.verify(b"hello", signature, mechanism=Mechanism.ECDSA_SHA256)
    assert not public.verify(b"hullo", signature, mechanism=Mechanism.ECDSA_SHA256)
    digest = hashlib.sha256(b"hello").digest()
    assert public.verify(digest, signature, mechanism=Mechanism.ECDSA)

    assert session.digest((b"he", b"llo"), mechanism=Mechanism.SHA256) == digest
    assert session.generate_random(1024) != session.generate_random(1024)

    for wanted in (Attribute.EXTRACTABLE, Attribute.ALWAYS_AUTHENTICATE):
        assert private[wanted] is False, wanted
    assert private[Attribute.SENSITIVE] is True
    try:
        private[Attribute.VALUE]
        raise SystemExit("the private key was told")
    except pkcs11.exceptions.AttributeSensitive:
        pass

print("done")
