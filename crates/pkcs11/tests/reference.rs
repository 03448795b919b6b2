//! The reference page of functions, mechanisms and attributes is what the tables of the code say. With
//! `BIRTHMARK_WRITE_REFERENCE=1` it is written again.
#![forbid(unsafe_code)]

use std::fmt::Write as _;
use std::path::Path;

use token::rules::{self, Change, Fallback, Given, Rule};
use token::{Abilities, AttributeKind, Class, KeyType, MechanismType, Shape};

const PAGE: &str = "docs/reference/pkcs11-tables.md";

/// Functions in groups, and what is different from "as the standard says, with both backends".
const FUNCTIONS: &[(&str, &str)] = &[
    (
        "C_Initialize, C_Finalize, C_GetInfo, C_GetFunctionList, C_GetInterfaceList, C_GetInterface",
        "`pReserved` other than NULL is `CKR_ARGUMENTS_BAD`; mutex callbacks without `CKF_OS_LOCKING_OK` are `CKR_CANT_LOCK`",
    ),
    (
        "C_GetSlotList, C_GetSlotInfo, C_GetTokenInfo, C_GetMechanismList, C_GetMechanismInfo",
        "",
    ),
    (
        "C_WaitForSlotEvent",
        "looks twice a second while it waits; `C_Finalize` ends it with `CKR_CRYPTOKI_NOT_INITIALIZED`",
    ),
    (
        "C_InitToken, C_InitPIN, C_SetPIN",
        "`chip`: as its configuration says",
    ),
    (
        "C_OpenSession, C_CloseSession, C_CloseAllSessions, C_GetSessionInfo, C_SessionCancel",
        "",
    ),
    (
        "C_Login, C_LoginUser, C_Logout",
        "users have no names: `C_LoginUser` with one is `CKR_USER_TYPE_INVALID`",
    ),
    (
        "C_GetOperationState",
        "`CKR_STATE_UNSAVEABLE`: what runs has no written form",
    ),
    ("C_SetOperationState", "not supported"),
    (
        "C_CreateObject, C_CopyObject, C_DestroyObject, C_GetObjectSize, C_GetAttributeValue, C_SetAttributeValue",
        "session objects of every class with both backends; what the chip keeps is bound to its places",
    ),
    (
        "C_FindObjectsInit, C_FindObjects, C_FindObjectsFinal",
        "indexes by label, identifier and class; what another process made is found by the next `C_FindObjectsInit`",
    ),
    (
        "C_EncryptInit, C_Encrypt, C_EncryptUpdate, C_EncryptFinal, C_DecryptInit, C_Decrypt, C_DecryptUpdate, C_DecryptFinal",
        "on the host",
    ),
    (
        "C_DigestInit, C_Digest, C_DigestUpdate, C_DigestKey, C_DigestFinal",
        "on the host; `C_DigestKey` takes secret keys",
    ),
    (
        "C_SignInit, C_Sign, C_SignUpdate, C_SignFinal, C_VerifyInit, C_Verify, C_VerifyUpdate, C_VerifyFinal",
        "",
    ),
    (
        "C_SignRecoverInit, C_SignRecover, C_VerifyRecoverInit, C_VerifyRecover",
        "`CKM_RSA_PKCS` and `CKM_RSA_X_509`",
    ),
    (
        "C_GenerateKey, C_GenerateKeyPair, C_DeriveKey",
        "secret keys on the host",
    ),
    (
        "C_WrapKey, C_UnwrapKey",
        "a key that also decrypts wraps no sensitive key (`CKR_KEY_NOT_WRAPPABLE`)",
    ),
    (
        "C_SeedRandom, C_GenerateRandom",
        "`chip`: `CKR_RANDOM_SEED_NOT_SUPPORTED`; `flash` mixes seeds into what the system gives",
    ),
    (
        "C_GetFunctionStatus, C_CancelFunction",
        "`CKR_FUNCTION_NOT_PARALLEL`",
    ),
    (
        "C_DigestEncryptUpdate, C_DecryptDigestUpdate, C_SignEncryptUpdate, C_DecryptVerifyUpdate",
        "not supported",
    ),
    (
        "C_MessageEncryptInit and the nineteen other message functions of 3.0",
        "not supported",
    ),
];

#[test]
fn the_page_says_what_the_tables_say() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(PAGE);
    let page = page();
    if std::env::var_os("BIRTHMARK_WRITE_REFERENCE").is_some() {
        std::fs::write(&file, &page).unwrap();
    }
    let written = std::fs::read_to_string(&file).unwrap_or_default();
    assert!(
        written == page,
        "{PAGE} is stale; run BIRTHMARK_WRITE_REFERENCE=1 cargo test -p pkcs11 --test reference"
    );
}

fn page() -> String {
    let mut page = "# Functions, mechanisms and attributes of the PKCS #11 module\n\nGenerated from the tables of the code by \
        `BIRTHMARK_WRITE_REFERENCE=1 cargo test -p pkcs11 --test reference`.\n\n## Functions\n\n\"Not supported\" is \
        `CKR_FUNCTION_NOT_SUPPORTED`, after the checks that every function makes: initialized, pointers, session.\n\n\
        | functions | notes |\n|---|---|\n"
        .to_owned();
    for (functions, notes) in FUNCTIONS {
        let named: Vec<_> = functions.split(", ").map(|name| format!("`{name}`")).collect();
        let _ = writeln!(page, "| {} | {notes} |", named.join(", "));
    }
    page.push_str(
        "\n## Mechanisms\n\nOn keys in memory, which are all keys of a `flash` token and session keys with both backends. A key that \
         lives in the chip does what it can do there: see the page of the module.\n\n| mechanism | number | for | keys | sizes |\n\
         |---|---|---|---|---|\n",
    );
    for kind in MechanismType::ALL {
        mechanism(&mut page, *kind);
    }
    page.push_str(ATTRIBUTES);
    for (name, class, key_type) in kinds() {
        attributes(&mut page, &name, class, key_type);
    }
    page
}

fn mechanism(page: &mut String, kind: MechanismType) {
    let able = kind.abilities();
    let words = [
        (Abilities::GENERATE, "generate"),
        (Abilities::GENERATE_KEY_PAIR, "generate pairs"),
        (Abilities::DIGEST, "digest"),
        (Abilities::SIGN, "sign"),
        (Abilities::VERIFY, "verify"),
        (Abilities::ENCRYPT, "encrypt"),
        (Abilities::DECRYPT, "decrypt"),
        (Abilities::WRAP, "wrap"),
        (Abilities::UNWRAP, "unwrap"),
        (Abilities::DERIVE, "derive"),
    ];
    let words: Vec<_> = words
        .into_iter()
        .filter(|(flag, _)| able.does(*flag))
        .map(|(_, word)| word)
        .collect();
    let keys: Vec<_> = kind.key_types().iter().map(|key| format!("{key:?}")).collect();
    let sizes = able
        .size
        .map_or_else(String::new, |size| format!("{} to {}", size.min, size.max));
    let _ = writeln!(
        page,
        "| {kind:?} | `{:#06x}` | {} | {} | {sizes} |",
        kind.number(),
        words.join(", "),
        keys.join(", ")
    );
}

const ATTRIBUTES: &str = "\n## Attributes\n\nWho gives an attribute its value: *anyone* who makes the object may; a *creator* must \
    when the object comes from outside, a *maker* also when it is generated; a *part* of a key comes only from outside; the \
    *officer* alone may say yes; *nobody*: it follows from the rest. How it may change: *free* while the object is modifiable, \
    *raise* from false to true, *lower* from true to false, *copy* only in a copy. What is *secret* is told only of a key that is \
    not sensitive and is extractable.\n";

/// Every kind of object that has rules of its own.
fn kinds() -> Vec<(String, Class, Option<KeyType>)> {
    let mut kinds = vec![
        ("Data".to_owned(), Class::Data, None),
        ("X.509 certificate".to_owned(), Class::Certificate, None),
        ("Profile".to_owned(), Class::Profile, None),
    ];
    let pairs = [
        KeyType::Ec,
        KeyType::EcEdwards,
        KeyType::EcMontgomery,
        KeyType::Rsa,
    ];
    for key_type in pairs {
        kinds.push((
            format!("Public key, {key_type:?}"),
            Class::PublicKey,
            Some(key_type),
        ));
        kinds.push((
            format!("Private key, {key_type:?}"),
            Class::PrivateKey,
            Some(key_type),
        ));
    }
    for key_type in [KeyType::Aes, KeyType::GenericSecret, KeyType::Hkdf] {
        kinds.push((
            format!("Secret key, {key_type:?}"),
            Class::SecretKey,
            Some(key_type),
        ));
    }
    kinds
}

fn attributes(page: &mut String, name: &str, class: Class, key_type: Option<KeyType>) {
    let _ = write!(
        page,
        "\n### {name}\n\n| attribute | given by | otherwise | change |\n|---|---|---|---|\n"
    );
    let mut all: Vec<&Rule> = rules::all(class, key_type).collect();
    all.sort_by_key(|rule| rule.kind);
    for rule in all {
        let _ = writeln!(
            page,
            "| `{}`{} | {} | {} | {} |",
            constant(rule.kind),
            if rule.secret { " (secret)" } else { "" },
            giver(rule.given),
            otherwise(rule),
            change(rule.change)
        );
    }
}

/// `CKA_` and the name in capitals, as far as ours are the standard's.
fn constant(kind: AttributeKind) -> String {
    let mut name = "CKA".to_owned();
    for letter in format!("{kind:?}").chars() {
        if letter.is_ascii_uppercase() || letter.is_ascii_digit() {
            name.push('_');
        }
        name.push(letter.to_ascii_uppercase());
    }
    name.replace("CKA_VALUE_LENGTH", "CKA_VALUE_LEN")
}

const fn giver(given: Given) -> &'static str {
    match given {
        Given::Anyone => "anyone",
        Given::Creator => "creator",
        Given::Maker => "maker",
        Given::Part => "part",
        Given::CreatorMay => "creator, if at all",
        Given::Generator => "maker, when it is generated",
        Given::Officer => "officer",
        Given::Nobody => "nobody",
    }
}

fn otherwise(rule: &Rule) -> String {
    match (rule.fallback, rule.kind.shape()) {
        (Fallback::Absent, _) => String::new(),
        (Fallback::Flag(flag), _) => flag.to_string(),
        (Fallback::Number(number), _) => number.to_string(),
        (Fallback::Empty, Shape::Bytes) => "empty, or computed".to_owned(),
        (Fallback::Empty, _) => "empty".to_owned(),
    }
}

const fn change(change: Change) -> &'static str {
    match change {
        Change::Never => "",
        Change::Free => "free",
        Change::Raise => "raise",
        Change::Lower => "lower",
        Change::RaiseInCopy => "copy: raise",
        Change::InCopy => "copy",
        Change::Officer => "officer",
    }
}
