"""A token under PyKCS11: slots, sessions, searches, signatures and digests.

Arguments: module, token, PIN, label of the key, backend.
"""

import hashlib
import sys

from PyKCS11 import (
    CKA_CLASS,
    CKA_EXTRACTABLE,
    CKA_ID,
    CKA_KEY_TYPE,
    CKA_LABEL,
    CKA_LOCAL,
    CKA_SENSITIVE,
    CKF_RW_SESSION,
    CKF_SERIAL_SESSION,
    CKK_EC,
    CKM_ECDSA_SHA256,
    CKO_PRIVATE_KEY,
    CKO_PUBLIC_KEY,
    CKR_PIN_INCORRECT,
    Mechanism,
    MechanismSHA1,
    PyKCS11Error,
    PyKCS11Lib,
)

module, token_label, pin, key_label, backend = sys.argv[1:]
lib = PyKCS11Lib()
lib.load(module)
slot = lib.getSlotList(tokenPresent=True)[0]
assert lib.getTokenInfo(slot).label.strip() == token_label
assert "CKM_ECDSA" in lib.getMechanismList(slot)

session = lib.openSession(slot, CKF_SERIAL_SESSION | CKF_RW_SESSION)
if backend == "flash":
    try:
        session.login("wrong")
        raise SystemExit("a wrong PIN was taken")
    except PyKCS11Error as error:
        assert error.value == CKR_PIN_INCORRECT, error
session.login(pin)
private = session.findObjects([(CKA_CLASS, CKO_PRIVATE_KEY), (CKA_LABEL, key_label)])[0]
wanted = [CKA_SENSITIVE, CKA_EXTRACTABLE, CKA_LOCAL, CKA_KEY_TYPE]
assert session.getAttributeValue(private, wanted) == [True, False, True, CKK_EC]
key_id = bytes(session.getAttributeValue(private, [CKA_ID])[0])
public = session.findObjects([(CKA_CLASS, CKO_PUBLIC_KEY), (CKA_ID, key_id)])[0]
assert session.findObjects([(CKA_LABEL, "nothing")]) == []

mechanism = Mechanism(CKM_ECDSA_SHA256, None)
signature = session.sign(private, b"hello", mechanism)
assert session.verify(public, b"hello", signature, mechanism)
assert not session.verify(public, b"hullo", signature, mechanism)

digest = hashlib.sha1(b"hello").digest()
assert bytes(session.digest(b"hello", MechanismSHA1)) == digest
parts = session.digestSession(MechanismSHA1)
parts.update(b"he")
parts.update(b"llo")
assert bytes(parts.final()) == digest
assert len(session.generateRandom(300)) == 300

session.logout()
session.closeSession()
print("done")
