//! `google.protobuf.Struct` to and from JSON text.

use prost_types::value::Kind;
use prost_types::{ListValue, Struct};
use serde_json::value::{RawValue, to_raw_value};
use serde_json::{Map, Number, Value};

/// A number is not finite, which JSON cannot say. It is the caller's fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must not contain NaN or infinity")]
pub struct NotFinite;

type Result<T> = std::result::Result<T, NotFinite>;

/// The struct as a JSON object. Whole numbers are written without a fraction.
///
/// # Errors
/// [`NotFinite`].
pub fn to_json(data: Struct) -> Result<Box<RawValue>> {
    let object = Value::Object(object(data)?);
    Ok(to_raw_value(&object).expect("keys are strings and writing to memory does not fail"))
}

/// The JSON object as a struct.
///
/// # Errors
/// It is not an object.
pub fn from_json(data: &RawValue) -> serde_json::Result<Struct> {
    let object: Map<String, Value> = serde_json::from_str(data.get())?;
    Ok(structure(object))
}

// Recursion ends: Protobuf decoding and JSON parsing both bound the depth.
fn object(data: Struct) -> Result<Map<String, Value>> {
    let fields = data.fields.into_iter();
    fields
        .map(|(name, field)| Ok((name, value(field)?)))
        .collect()
}

fn value(value: prost_types::Value) -> Result<Value> {
    Ok(match value.kind {
        None | Some(Kind::NullValue(_)) => Value::Null,
        Some(Kind::BoolValue(flag)) => Value::Bool(flag),
        Some(Kind::StringValue(text)) => Value::String(text),
        Some(Kind::NumberValue(number)) => Value::Number(json_number(number)?),
        Some(Kind::StructValue(data)) => Value::Object(object(data)?),
        Some(Kind::ListValue(list)) => {
            let values = list.values.into_iter().map(self::value);
            Value::Array(values.collect::<Result<_>>()?)
        }
    })
}

fn json_number(number: f64) -> Result<Number> {
    /// Every whole number up to here has a double of its own.
    const EXACT: f64 = 9_007_199_254_740_991.0;
    if number.fract() == 0.0
        && number.abs() <= EXACT
        && !(number == 0.0 && number.is_sign_negative())
    {
        #[expect(clippy::cast_possible_truncation, reason = "it is whole and in range")]
        return Ok(Number::from(number as i64));
    }
    Number::from_f64(number).ok_or(NotFinite)
}

fn structure(object: Map<String, Value>) -> Struct {
    let fields = object.into_iter();
    Struct {
        fields: fields.map(|(name, value)| (name, kind(value))).collect(),
    }
}

fn kind(value: Value) -> prost_types::Value {
    let kind = match value {
        Value::Null => Kind::NullValue(0),
        Value::Bool(flag) => Kind::BoolValue(flag),
        Value::Number(number) => Kind::NumberValue(number.as_f64().unwrap_or_default()),
        Value::String(text) => Kind::StringValue(text),
        Value::Array(values) => Kind::ListValue(ListValue {
            values: values.into_iter().map(kind).collect(),
        }),
        Value::Object(object) => Kind::StructValue(structure(object)),
    };
    prost_types::Value { kind: Some(kind) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_goes_in_comes_out() {
        let text = r#"{"a":null,"b":[true,-1.5,"x",{}],"n":9007199254740991,"z":0}"#;
        let raw: Box<RawValue> = serde_json::from_str(text).unwrap();
        let data = from_json(&raw).unwrap();
        assert_eq!(to_json(data).unwrap().get(), text);
    }

    #[test]
    fn what_json_cannot_say_is_refused() {
        for number in [f64::NAN, f64::INFINITY] {
            let value = prost_types::Value {
                kind: Some(Kind::NumberValue(number)),
            };
            let fields = [("n".to_owned(), value)].into();
            assert_eq!(to_json(Struct { fields }).unwrap_err(), NotFinite);
        }
    }
}
