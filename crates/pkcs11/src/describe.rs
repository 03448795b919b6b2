//! What the library, its slots and tokens say about themselves, in the structures of C.

use cryptoki_sys::*;
use token::{Abilities, AttributeKind, PinState, SessionState, Status, TokenDescription, User, Value};

/// The maker, as all structures name it.
pub(crate) const MANUFACTURER: &str = "Birthmark";
/// A number that nobody knows or that has no bound (`CK_UNAVAILABLE_INFORMATION`).
pub(crate) const UNAVAILABLE: CK_ULONG = CK_ULONG::MAX;
const INFINITE: CK_ULONG = 0;
const PIN_BYTES: (CK_ULONG, CK_ULONG) = (4, 64);

/// Text in a field of fixed length: filled with blanks, never ended by a NUL, cut between characters.
pub(crate) fn padded<const N: usize>(text: &str) -> [u8; N] {
    let mut field = [b' '; N];
    let fits = text.char_indices().map(|(at, c)| at + c.len_utf8());
    let end = fits.take_while(|end| *end <= N).last().unwrap_or(0);
    for (place, byte) in field.iter_mut().zip(text.bytes().take(end)) {
        *place = byte;
    }
    field
}

/// `CK_VERSION`.
pub(crate) const fn version(major: u8, minor: u8) -> CK_VERSION {
    CK_VERSION { major, minor }
}

/// `CK_INFO`.
pub(crate) fn library() -> CK_INFO {
    CK_INFO {
        cryptokiVersion: version(2, 40),
        manufacturerID: padded(MANUFACTURER),
        flags: 0,
        libraryDescription: padded("Birthmark PKCS #11 module"),
        libraryVersion: version(0, 1),
    }
}

/// `CK_SLOT_INFO`.
pub(crate) fn slot(description: &str, hardware: bool, present: bool) -> CK_SLOT_INFO {
    let mut flags = 0;
    if present {
        flags |= CKF_TOKEN_PRESENT;
    }
    if hardware {
        flags |= CKF_HW_SLOT;
    }
    CK_SLOT_INFO {
        slotDescription: padded(description),
        manufacturerID: padded(MANUFACTURER),
        flags,
        hardwareVersion: version(0, 0),
        firmwareVersion: version(0, 0),
    }
}

/// `CK_TOKEN_INFO`.
pub(crate) fn token(
    description: &TokenDescription,
    status: &Status,
    (sessions, writing): (usize, usize),
) -> CK_TOKEN_INFO {
    CK_TOKEN_INFO {
        label: padded(&status.label),
        manufacturerID: padded(description.manufacturer),
        model: padded(description.model),
        serialNumber: padded(&description.serial),
        flags: flags(status),
        ulMaxSessionCount: INFINITE,
        ulSessionCount: sessions as CK_ULONG,
        ulMaxRwSessionCount: INFINITE,
        ulRwSessionCount: writing as CK_ULONG,
        ulMaxPinLen: PIN_BYTES.1,
        ulMinPinLen: PIN_BYTES.0,
        ulTotalPublicMemory: UNAVAILABLE,
        ulFreePublicMemory: UNAVAILABLE,
        ulTotalPrivateMemory: UNAVAILABLE,
        ulFreePrivateMemory: UNAVAILABLE,
        hardwareVersion: version(0, 0),
        firmwareVersion: version(0, 0),
        utcTime: [b'0'; 16],
    }
}

fn flags(status: &Status) -> CK_FLAGS {
    let mut flags = CKF_RNG;
    let mut raise = |when: bool, flag: CK_FLAGS| {
        if when {
            flags |= flag;
        }
    };
    raise(status.initialized, CKF_TOKEN_INITIALIZED);
    raise(status.login_required, CKF_LOGIN_REQUIRED);
    raise(status.write_protected, CKF_WRITE_PROTECTED);
    raise(
        status.user_pin != PinState::Absent || !status.login_required,
        CKF_USER_PIN_INITIALIZED,
    );
    raise(status.user_pin == PinState::CountLow, CKF_USER_PIN_COUNT_LOW);
    raise(status.user_pin == PinState::FinalTry, CKF_USER_PIN_FINAL_TRY);
    raise(status.user_pin == PinState::Locked, CKF_USER_PIN_LOCKED);
    raise(status.officer_pin == PinState::CountLow, CKF_SO_PIN_COUNT_LOW);
    raise(status.officer_pin == PinState::FinalTry, CKF_SO_PIN_FINAL_TRY);
    raise(status.officer_pin == PinState::Locked, CKF_SO_PIN_LOCKED);
    flags
}

/// `CK_SESSION_INFO`.
pub(crate) fn session(state: SessionState) -> CK_SESSION_INFO {
    let writes = state.access == token::Access::ReadWrite;
    let number = match (state.user, writes) {
        (None, false) => CKS_RO_PUBLIC_SESSION,
        (Some(_), false) => CKS_RO_USER_FUNCTIONS,
        (None, true) => CKS_RW_PUBLIC_SESSION,
        (Some(User::User), true) => CKS_RW_USER_FUNCTIONS,
        (Some(User::SecurityOfficer), true) => CKS_RW_SO_FUNCTIONS,
    };
    let rw = if writes { CKF_RW_SESSION } else { 0 };
    CK_SESSION_INFO {
        slotID: state.slot as CK_SLOT_ID,
        state: number,
        flags: CKF_SERIAL_SESSION | rw,
        ulDeviceError: 0,
    }
}

/// `CK_MECHANISM_INFO`.
pub(crate) fn mechanism(info: Abilities, hardware: bool) -> CK_MECHANISM_INFO {
    let sizes = info.size.map_or((0, 0), |size| (size.min, size.max));
    CK_MECHANISM_INFO {
        ulMinKeySize: sizes.0 as CK_ULONG,
        ulMaxKeySize: sizes.1 as CK_ULONG,
        flags: info.flags as CK_FLAGS | if hardware { CKF_HW } else { 0 },
    }
}

/// The bytes of an attribute's value as C lays them out.
pub(crate) fn value(value: &Value<'_>) -> Vec<u8> {
    match value {
        Value::Flag(flag) => vec![u8::from(*flag)],
        Value::Number(number) => CK_ULONG::try_from(*number)
            .unwrap_or(UNAVAILABLE)
            .to_ne_bytes()
            .to_vec(),
        Value::Bytes(bytes) => bytes.to_vec(),
        Value::Numbers(numbers) => numbers
            .iter()
            .flat_map(|number| CK_ULONG::try_from(*number).unwrap_or(UNAVAILABLE).to_ne_bytes())
            .collect(),
        // Pointers are told by the edge.
        Value::Template(_) => Vec::new(),
    }
}

/// From the number of an attribute.
pub(crate) fn attribute(number: CK_ATTRIBUTE_TYPE) -> Option<AttributeKind> {
    AttributeKind::from_number(number.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_filled_with_blanks_and_cut_between_characters() {
        assert_eq!(&padded::<5>("abc"), b"abc  ");
        assert_eq!(&padded::<3>("abcd"), b"abc");
        assert_eq!(&padded::<3>("aé€"), "aé".as_bytes());
        assert_eq!(&padded::<2>("€"), b"  ");
    }
}
