//! Values without types: what a small record looks like to `store`, which keeps it whole.
//!
//! A kind of record that is always read and written as a whole ([`crate::resource`]) says once, by its fields, how it is
//! turned into a [`Plain`] and back. A field that is missing has its empty value, so that a field can be added to a kind
//! without a migration. Nothing here knows how a plain value is written down.

use std::collections::BTreeMap;

use identity::UnixMillis;

use crate::record::{Tag, Uuid};

/// A value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Plain {
    /// Nothing.
    Nothing,
    /// Yes or no.
    Flag(bool),
    /// A whole number.
    Number(i64),
    /// A text.
    Text(String),
    /// Values in order.
    List(Vec<Self>),
    /// Values under names.
    Map(BTreeMap<String, Self>),
}

impl Plain {
    const NOTHING: &'static Self = &Self::Nothing;

    /// The value under a name; [`Plain::Nothing`] if there is none.
    pub fn member(&self, name: &str) -> &Self {
        match self {
            Self::Map(members) => members.get(name).unwrap_or(Self::NOTHING),
            _ => Self::NOTHING,
        }
    }
}

/// A type that can be turned into a [`Plain`] and back.
pub trait Shape: Sized {
    /// As a plain value.
    fn plain(&self) -> Plain;

    /// From a plain value; `None` if it is not of this shape.
    fn shaped(plain: &Plain) -> Option<Self>;
}

impl Shape for bool {
    fn plain(&self) -> Plain {
        Plain::Flag(*self)
    }

    fn shaped(plain: &Plain) -> Option<Self> {
        match plain {
            Plain::Flag(flag) => Some(*flag),
            Plain::Nothing => Some(false),
            _ => None,
        }
    }
}

impl Shape for i64 {
    fn plain(&self) -> Plain {
        Plain::Number(*self)
    }

    fn shaped(plain: &Plain) -> Option<Self> {
        match plain {
            Plain::Number(number) => Some(*number),
            Plain::Nothing => Some(0),
            _ => None,
        }
    }
}

impl Shape for u64 {
    fn plain(&self) -> Plain {
        Plain::Number(i64::try_from(*self).unwrap_or(i64::MAX))
    }

    fn shaped(plain: &Plain) -> Option<Self> {
        i64::shaped(plain).and_then(|number| Self::try_from(number).ok())
    }
}

impl Shape for UnixMillis {
    fn plain(&self) -> Plain {
        Plain::Number(self.0)
    }

    fn shaped(plain: &Plain) -> Option<Self> {
        i64::shaped(plain).map(Self)
    }
}

impl Shape for String {
    fn plain(&self) -> Plain {
        Plain::Text(self.clone())
    }

    fn shaped(plain: &Plain) -> Option<Self> {
        match plain {
            Plain::Text(text) => Some(text.clone()),
            Plain::Nothing => Some(Self::new()),
            _ => None,
        }
    }
}

impl Shape for Uuid {
    fn plain(&self) -> Plain {
        Plain::Text(self.to_string())
    }

    fn shaped(plain: &Plain) -> Option<Self> {
        match plain {
            Plain::Text(text) => Self::parse(text),
            _ => None,
        }
    }
}

impl Shape for Tag {
    fn plain(&self) -> Plain {
        Plain::List(vec![self.key.plain(), self.value.plain()])
    }

    fn shaped(plain: &Plain) -> Option<Self> {
        let [key, value] = <[String; 2]>::try_from(Vec::<String>::shaped(plain)?).ok()?;
        Some(Self { key, value })
    }
}

impl<T: Shape> Shape for Option<T> {
    fn plain(&self) -> Plain {
        self.as_ref().map_or(Plain::Nothing, Shape::plain)
    }

    fn shaped(plain: &Plain) -> Option<Self> {
        match plain {
            Plain::Nothing => Some(None),
            plain => T::shaped(plain).map(Some),
        }
    }
}

impl<T: Shape> Shape for Vec<T> {
    fn plain(&self) -> Plain {
        Plain::List(self.iter().map(Shape::plain).collect())
    }

    fn shaped(plain: &Plain) -> Option<Self> {
        match plain {
            Plain::List(items) => items.iter().map(T::shaped).collect(),
            Plain::Nothing => Some(Self::new()),
            _ => None,
        }
    }
}

impl<T: Shape> Shape for BTreeMap<String, T> {
    fn plain(&self) -> Plain {
        Plain::Map(
            self.iter()
                .map(|(name, value)| (name.clone(), value.plain()))
                .collect(),
        )
    }

    fn shaped(plain: &Plain) -> Option<Self> {
        match plain {
            Plain::Map(members) => members
                .iter()
                .map(|(name, value)| Some((name.clone(), T::shaped(value)?)))
                .collect(),
            Plain::Nothing => Some(Self::new()),
            _ => None,
        }
    }
}

/// Declares a struct whose fields all have a [`Shape`], and gives it one: a map under the names of the fields.
macro_rules! shaped {
    ($(#[$doc:meta])* $name:ident { $($(#[$field_doc:meta])* $field:ident: $kind:ty),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq)]
        pub struct $name {
            $($(#[$field_doc])* pub $field: $kind,)+
        }

        impl $crate::plain::Shape for $name {
            fn plain(&self) -> $crate::plain::Plain {
                $crate::plain::Plain::Map(
                    [$((stringify!($field).to_owned(), $crate::plain::Shape::plain(&self.$field))),+].into(),
                )
            }

            fn shaped(plain: &$crate::plain::Plain) -> Option<Self> {
                Some(Self {
                    $($field: $crate::plain::Shape::shaped(plain.member(stringify!($field)))?,)+
                })
            }
        }
    };
}

pub(crate) use shaped;

/// Declares an enum whose variants are words of AWS: names it, reads it, and gives it a [`Shape`]. Nothing at all is the
/// first one.
macro_rules! words {
    ($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident = $word:literal),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum $name {
            $($(#[$variant_doc])* $variant,)+
        }

        impl $name {
            /// Every one.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// The AWS word.
            pub fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $word,)+
                }
            }

            /// Reads the AWS word.
            pub fn parse(text: &str) -> Option<Self> {
                match text {
                    $($word => Some(Self::$variant),)+
                    _ => None,
                }
            }

            /// Reads what a caller gave under this name; nothing is the first.
            pub fn asked(member: &str, text: Option<&str>) -> Result<Self, $crate::refusal::Refusal> {
                let Some(text) = text else {
                    return Ok(Self::default());
                };
                Self::parse(text).ok_or_else(|| {
                    let words = [$($word),+].join(", ");
                    let shown: String = text.chars().take(64).collect();
                    $crate::refusal::Refusal::new(
                        $crate::refusal::Exception::InvalidRequest,
                        "fleet.word",
                        format!("{member} cannot be \"{shown}\""),
                    )
                    .hint(format!("it is one of {words}"))
                })
            }
        }

        impl Default for $name {
            fn default() -> Self {
                Self::ALL[0]
            }
        }

        impl $crate::plain::Shape for $name {
            fn plain(&self) -> $crate::plain::Plain {
                $crate::plain::Plain::Text(self.name().to_owned())
            }

            fn shaped(plain: &$crate::plain::Plain) -> Option<Self> {
                match plain {
                    $crate::plain::Plain::Nothing => Some(Self::default()),
                    $crate::plain::Plain::Text(text) => Self::parse(text),
                    _ => None,
                }
            }
        }
    };
}

pub(crate) use words;

#[cfg(test)]
#[expect(unreachable_pub, reason = "the macro declares public types")]
mod tests {
    use super::*;

    shaped!(Sample {
        /// Text.
        text: String,
        /// Number.
        number: u64,
        /// Perhaps.
        perhaps: Option<UnixMillis>,
        /// Tags.
        tags: Vec<Tag>,
        /// Id.
        id: Uuid,
        /// Words.
        words: BTreeMap<String, bool>,
    });

    #[test]
    fn a_shape_is_read_back_and_a_missing_field_is_empty() {
        let sample = Sample {
            text: "ü".to_owned(),
            number: 7,
            perhaps: Some(UnixMillis(-1)),
            tags: vec![Tag {
                key: "k".to_owned(),
                value: String::new(),
            }],
            id: Uuid([0xab; 16]),
            words: BTreeMap::from([("w".to_owned(), true)]),
        };
        let plain = sample.plain();
        assert_eq!(Sample::shaped(&plain), Some(sample.clone()));
        let Plain::Map(mut members) = plain else {
            unreachable!()
        };
        members.retain(|name, _| name == "id");
        let empty = Sample::shaped(&Plain::Map(members)).unwrap();
        assert_eq!((empty.text.as_str(), empty.number, empty.perhaps), ("", 0, None));
        assert!(empty.tags.is_empty() && empty.words.is_empty());
    }

    words!(
        /// A colour.
        Colour {
            /// The first.
            Red = "RED",
            /// The second.
            Blue = "BLUE",
        }
    );

    #[test]
    fn words_are_read_back_and_others_refused() {
        for colour in Colour::ALL {
            assert_eq!(Colour::parse(colour.name()), Some(*colour));
            assert_eq!(Colour::shaped(&colour.plain()), Some(*colour));
        }
        assert_eq!(Colour::shaped(&Plain::Nothing), Some(Colour::Red));
        assert_eq!(Colour::shaped(&Plain::Text("red".to_owned())), None);
        assert_eq!(Colour::asked("colour", None).unwrap(), Colour::Red);
        let refusal = Colour::asked("colour", Some("GREEN")).unwrap_err();
        assert!(refusal.message().contains("RED, BLUE"), "{}", refusal.message());
    }

    #[test]
    fn other_shapes_are_told_apart() {
        assert_eq!(Sample::shaped(&Plain::Nothing), None);
        assert_eq!(bool::shaped(&Plain::Number(1)), None);
        assert_eq!(u64::shaped(&Plain::Number(-1)), None);
        assert_eq!(String::shaped(&Plain::Flag(true)), None);
        assert_eq!(Tag::shaped(&Plain::List(vec![Plain::Text("k".to_owned())])), None);
        assert_eq!(Uuid::shaped(&Plain::Text("x".to_owned())), None);
    }
}
