//! How values are read from JSON.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::marker::PhantomData;

use bytes::Bytes;
use serde::Deserialize;
use serde::de::{self, DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use crate::frame::DecodeError;
use crate::json::is_json;
use crate::publication::FilterNode;

/// A value of the protocol that can be read from JSON. `null` is read as the zero value.
pub(crate) trait Read<'de>: Default {
    fn read<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error>;
}

/// A message of the protocol: an object with named fields.
pub(crate) trait Object<'de>: Default {
    /// Reads the value of the field `name`, or returns it unread when there is no such field.
    fn field<A: MapAccess<'de>>(&mut self, name: &str, map: &mut A) -> Result<bool, A::Error>;
}

/// Reads one message from one line of a frame.
pub(crate) fn from_line<'de, T: Read<'de>>(line: &'de [u8]) -> Result<T, DecodeError> {
    let line = std::str::from_utf8(line).map_err(|error| DecodeError::Json {
        column: error.valid_up_to() + 1,
    })?;
    let mut deserializer = serde_json::Deserializer::from_str(line);
    T::read(&mut deserializer)
        .and_then(|value| deserializer.end().map(|()| value))
        .map_err(|error| DecodeError::Json {
            column: error.column(),
        })
}

/// Reads the next value of a map or sequence.
pub(crate) struct Next<T>(PhantomData<T>);

pub(crate) fn next<T>() -> Next<T> {
    Next(PhantomData)
}

impl<'de, T: Read<'de>> DeserializeSeed<'de> for Next<T> {
    type Value = T;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<T, D::Error> {
        T::read(deserializer)
    }
}

/// The name of a member: borrowed from the frame unless it contains escapes.
struct Name<'de>(Cow<'de, str>);

impl<'de> Deserialize<'de> for Name<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct NameVisitor;

        impl<'de> Visitor<'de> for NameVisitor {
            type Value = Name<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a name")
            }

            fn visit_borrowed_str<E>(self, name: &'de str) -> Result<Name<'de>, E> {
                Ok(Name(Cow::Borrowed(name)))
            }

            fn visit_str<E>(self, name: &str) -> Result<Name<'de>, E> {
                Ok(Name(Cow::Owned(name.to_owned())))
            }
        }

        deserializer.deserialize_str(NameVisitor)
    }
}

impl<'de, T: Object<'de>> Read<'de> for T {
    fn read<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct ObjectVisitor<T>(PhantomData<T>);

        impl<'de, T: Object<'de>> Visitor<'de> for ObjectVisitor<T> {
            type Value = T;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_unit<E>(self) -> Result<T, E> {
                Ok(T::default())
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<T, A::Error> {
                let mut object = T::default();
                while let Some(Name(name)) = map.next_key()? {
                    if !object.field(&name, &mut map)? {
                        map.next_value::<IgnoredAny>()?;
                    }
                }
                Ok(object)
            }
        }

        deserializer.deserialize_any(ObjectVisitor(PhantomData))
    }
}

/// Plain values, as serde reads them, or `null`.
macro_rules! plain {
    ($($type:ty)*) => {
        $(
            impl<'de> Read<'de> for $type {
                fn read<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
                }
            }
        )*
    };
}

plain! { u32 u64 i32 i64 bool String }

/// A payload: whatever value stands there, `null` included, copied as it stands.
impl<'de> Read<'de> for Bytes {
    fn read<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let payload = <&RawValue>::deserialize(deserializer)?.get().as_bytes();
        // The writer would refuse it as too deep, for each of its receivers: its sender must learn.
        if !is_json(payload) {
            return Err(de::Error::custom("payload is nested too deeply"));
        }
        Ok(Self::copy_from_slice(payload))
    }
}

impl<'de, T: Read<'de>> Read<'de> for Vec<T> {
    fn read<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct VecVisitor<T>(PhantomData<T>);

        impl<'de, T: Read<'de>> Visitor<'de> for VecVisitor<T> {
            type Value = Vec<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an array")
            }

            fn visit_unit<E>(self) -> Result<Vec<T>, E> {
                Ok(Vec::new())
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Vec<T>, A::Error> {
                let mut vec = Vec::new();
                while let Some(item) = items.next_element_seed(next())? {
                    vec.push(item);
                }
                Ok(vec)
            }
        }

        deserializer.deserialize_any(VecVisitor(PhantomData))
    }
}

impl<'de, T: Read<'de>> Read<'de> for BTreeMap<String, T> {
    fn read<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct MapVisitor<T>(PhantomData<T>);

        impl<'de, T: Read<'de>> Visitor<'de> for MapVisitor<T> {
            type Value = BTreeMap<String, T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_unit<E>(self) -> Result<Self::Value, E> {
                Ok(BTreeMap::new())
            }

            fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Self::Value, A::Error> {
                let mut map = BTreeMap::new();
                while let Some(key) = members.next_key()? {
                    map.insert(key, members.next_value_seed(next())?);
                }
                Ok(map)
            }
        }

        deserializer.deserialize_any(MapVisitor(PhantomData))
    }
}

impl<'de, T: Read<'de>> Read<'de> for Option<T> {
    fn read<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct OptionVisitor<T>(PhantomData<T>);

        impl<'de, T: Read<'de>> Visitor<'de> for OptionVisitor<T> {
            type Value = Option<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a value or null")
            }

            fn visit_none<E>(self) -> Result<Option<T>, E> {
                Ok(None)
            }

            fn visit_some<D: Deserializer<'de>>(
                self,
                deserializer: D,
            ) -> Result<Option<T>, D::Error> {
                T::read(deserializer).map(Some)
            }
        }

        deserializer.deserialize_option(OptionVisitor(PhantomData))
    }
}

impl<'de> Read<'de> for Box<FilterNode> {
    fn read<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        FilterNode::read(deserializer).map(Self::new)
    }
}
