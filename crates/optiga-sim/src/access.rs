//! Access conditions: a byte expression that says in which states of life something is allowed.
//!
//! `00` is always, `FF` never, all else is a chain of comparisons `state operator value` joined by FD (and) and FE (or), of
//! which FD binds tighter (OPTIGA Trust M Solution Reference Manual v3.50, "Access conditions"; the Trust X has this subset).

const ALWAYS: u8 = 0x00;
const NEVER: u8 = 0xFF;
const OR: u8 = 0xFE;
const AND: u8 = 0xFD;
const LESS: u8 = 0xFC;
const GREATER: u8 = 0xFB;
const EQUAL: u8 = 0xFA;
const GLOBAL: u8 = 0x70;
const APPLICATION: u8 = 0xE0;
const OBJECT: u8 = 0xE1;

/// The three life cycles that a condition can ask for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct States {
    pub(crate) global: u8,
    pub(crate) application: u8,
    pub(crate) object: u8,
}

/// Whether the bytes are a condition at all.
pub(crate) fn is_wellformed(expression: &[u8]) -> bool {
    if matches!(expression, [ALWAYS | NEVER]) {
        return true;
    }
    let comparisons = expression.chunks(4);
    let count = comparisons.len();
    count > 0
        && comparisons.enumerate().all(|(index, chunk)| match chunk {
            [GLOBAL | APPLICATION | OBJECT, EQUAL | GREATER | LESS, _] => index + 1 == count,
            [GLOBAL | APPLICATION | OBJECT, EQUAL | GREATER | LESS, _, AND | OR] => index + 1 < count,
            _ => false,
        })
}

/// Whether a condition allows what it guards; no condition, or a malformed one, never does.
pub(crate) fn allows(expression: Option<&[u8]>, states: States) -> bool {
    match expression {
        Some([ALWAYS]) => true,
        Some(expression) if is_wellformed(expression) => holds(expression, states),
        _ => false,
    }
}

fn holds(expression: &[u8], states: States) -> bool {
    let mut term = true;
    for chunk in expression.chunks(4) {
        term &= compare(chunk, states);
        if chunk.get(3) == Some(&OR) {
            if term {
                return true;
            }
            term = true;
        }
    }
    term
}

fn compare(chunk: &[u8], states: States) -> bool {
    let [state, operator, value, ..] = *chunk else {
        return false;
    };
    let state = match state {
        GLOBAL => states.global,
        APPLICATION => states.application,
        OBJECT => states.object,
        _ => return false,
    };
    match operator {
        EQUAL => state == value,
        GREATER => state > value,
        LESS => state < value,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STATES: States = States {
        global: 7,
        application: 1,
        object: 3,
    };

    fn check(expression: &[u8], expected: bool) {
        assert_eq!(allows(Some(expression), STATES), expected, "{expression:02X?}");
    }

    #[test]
    fn conditions_that_hold_and_conditions_that_do_not() {
        check(&[0x00], true);
        check(&[0xFF], false);
        check(&[0xE1, 0xFC, 0x07], true);
        check(&[0xE1, 0xFC, 0x03], false);
        check(&[0xE1, 0xFB, 0x01], true);
        check(&[0xE1, 0xFB, 0x03], false);
        check(&[0x70, 0xFA, 0x07], true);
        check(&[0xE0, 0xFA, 0x07], false);
        assert!(!allows(None, STATES));
    }

    #[test]
    fn and_binds_tighter_than_or() {
        let (yes, no) = ([0x70, 0xFA, 0x07], [0x70, 0xFA, 0x01]);
        let join = |parts: &[[u8; 3]], joints: &[u8]| {
            let mut expression = vec![];
            for (index, part) in parts.iter().enumerate() {
                expression.extend_from_slice(part);
                expression.extend(joints.get(index));
            }
            expression
        };
        for first in [false, true] {
            for second in [false, true] {
                for third in [false, true] {
                    let parts = [first, second, third].map(|value| if value { yes } else { no });
                    check(&join(&parts, &[OR, AND]), first || second && third);
                    check(&join(&parts, &[AND, OR]), first && second || third);
                    check(&join(&parts, &[AND, AND]), first && second && third);
                    check(&join(&parts, &[OR, OR]), first || second || third);
                }
            }
        }
    }

    #[test]
    fn what_is_no_condition() {
        let cases: [&[u8]; 10] = [
            &[],
            &[0x01],
            &[0x00, 0x00],
            &[0xE1, 0xFC],
            &[0xE2, 0xFC, 0x07],
            &[0xE1, 0xF9, 0x07],
            &[0xE1, 0xFC, 0x07, 0xFE],
            &[0xE1, 0xFC, 0x07, 0xFF, 0xE1, 0xFC, 0x07],
            &[0xE1, 0xFC, 0x07, 0xFE, 0x00],
            &[0x20, 0xE1, 0x40],
        ];
        for expression in cases {
            assert!(!is_wellformed(expression), "{expression:02X?}");
            check(expression, false);
        }
        assert!(is_wellformed(&[0xE1, 0xFB, 0x03, 0xFE, 0x70, 0xFC, 0x04]));
    }
}
