//! Templates of C as templates of `token`: each attribute's bytes become the value that its kind wants.

use cryptoki_sys::{
    CK_ATTRIBUTE_TYPE, CK_RV, CK_ULONG, CKR_ATTRIBUTE_TYPE_INVALID, CKR_ATTRIBUTE_VALUE_INVALID,
};
use token::{Attribute, Shape, Value};

use crate::describe;

/// One attribute as C passed it.
pub(crate) enum Raw<'a> {
    /// Its bytes.
    Bytes(CK_ATTRIBUTE_TYPE, &'a [u8]),
    /// Its lines, each with its bytes.
    Template(CK_ATTRIBUTE_TYPE, Vec<(CK_ATTRIBUTE_TYPE, &'a [u8])>),
}

/// A template for a search; `None` if nothing can match: an attribute that no object has, or a value that it never has.
pub(crate) fn for_search<'a>(raw: &[Raw<'a>]) -> Option<Vec<Attribute<'a>>> {
    raw.iter().map(|raw| parse(raw).ok()).collect()
}

/// A template for something new: what is not understood is refused.
pub(crate) fn for_object<'a>(raw: &[Raw<'a>]) -> Result<Vec<Attribute<'a>>, CK_RV> {
    raw.iter().map(parse).collect()
}

fn parse<'a>(raw: &Raw<'a>) -> Result<Attribute<'a>, CK_RV> {
    match raw {
        Raw::Bytes(number, bytes) => parse_bytes(*number, bytes),
        Raw::Template(number, lines) => {
            let kind = describe::attribute(*number).ok_or(CKR_ATTRIBUTE_TYPE_INVALID)?;
            let lines = lines.iter().map(|(number, bytes)| parse_bytes(*number, bytes));
            Ok(Attribute::new(
                kind,
                Value::Template(lines.collect::<Result<_, _>>()?),
            ))
        }
    }
}

fn parse_bytes(number: CK_ATTRIBUTE_TYPE, bytes: &[u8]) -> Result<Attribute<'_>, CK_RV> {
    let kind = describe::attribute(number).ok_or(CKR_ATTRIBUTE_TYPE_INVALID)?;
    let value = match (kind.shape(), bytes) {
        (Shape::Flag, [0]) => Value::Flag(false),
        (Shape::Flag, [1]) => Value::Flag(true),
        (Shape::Number, bytes) => {
            let number = bytes.try_into().map_err(|_| CKR_ATTRIBUTE_VALUE_INVALID)?;
            Value::Number(CK_ULONG::from_ne_bytes(number).into())
        }
        (Shape::Bytes, bytes) => Value::bytes(bytes),
        (Shape::Numbers, bytes) => Value::Numbers(numbers(bytes)?.into()),
        (Shape::Flag | Shape::Template, _) => return Err(CKR_ATTRIBUTE_VALUE_INVALID),
    };
    Ok(Attribute { kind, value })
}

fn numbers(bytes: &[u8]) -> Result<Vec<u64>, CK_RV> {
    let (numbers, []) = bytes.as_chunks() else {
        return Err(CKR_ATTRIBUTE_VALUE_INVALID);
    };
    Ok(numbers
        .iter()
        .map(|number| CK_ULONG::from_ne_bytes(*number).into())
        .collect())
}

#[cfg(test)]
mod tests {
    use cryptoki_sys::{CKA_ALLOWED_MECHANISMS, CKA_CLASS, CKA_LABEL, CKA_TOKEN};
    use token::AttributeKind;

    use super::*;

    #[test]
    fn values_have_the_shape_of_their_kind() {
        let number = (3 as CK_ULONG).to_ne_bytes();
        let template = for_object(&[
            Raw::Bytes(CKA_CLASS, &number),
            Raw::Bytes(CKA_TOKEN, &[1]),
            Raw::Bytes(CKA_LABEL, b"x"),
        ])
        .unwrap();
        assert_eq!(template[0].value, Value::Number(3));
        assert_eq!(template[1].value, Value::Flag(true));
        assert_eq!(
            (template[2].kind, &template[2].value),
            (AttributeKind::Label, &Value::text("x"))
        );
    }

    #[test]
    fn what_is_not_understood_matches_nothing_and_makes_nothing() {
        for (raw, rv) in [
            ((0x8000_0001, &b"x"[..]), CKR_ATTRIBUTE_TYPE_INVALID),
            ((CKA_CLASS, &[3][..]), CKR_ATTRIBUTE_VALUE_INVALID),
            ((CKA_TOKEN, &[][..]), CKR_ATTRIBUTE_VALUE_INVALID),
            ((CKA_TOKEN, &[2][..]), CKR_ATTRIBUTE_VALUE_INVALID),
            ((CKA_ALLOWED_MECHANISMS, &[1; 9][..]), CKR_ATTRIBUTE_VALUE_INVALID),
        ] {
            assert_eq!(for_object(&[Raw::Bytes(raw.0, raw.1)]), Err(rv));
            assert_eq!(for_search(&[Raw::Bytes(raw.0, raw.1)]), None);
        }
    }
}
