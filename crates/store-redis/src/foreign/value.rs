//! Values that other packages have written, in whatever format.

use std::sync::Arc;

/// A value. Anything else that a format knows is refused.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Value {
    None,
    Bool,
    Int(i64),
    Float(f64),
    Bytes(Arc<[u8]>),
    Text(Arc<str>),
    Map(Vec<(Value, Value)>),
}

impl Value {
    /// Returns a value of a map.
    pub(crate) fn get(&self, key: &str) -> &Self {
        let Self::Map(pairs) = self else { return &Self::None };
        // As in Python, the last of equal keys counts.
        let found = pairs.iter().rev().find(|(known, _)| matches!(known, Self::Text(text) if **text == *key));
        found.map_or(&Self::None, |(_, value)| value)
    }

    /// Returns an integer, also one that was written as text.
    pub(crate) fn int(&self) -> Option<i64> {
        match self {
            Self::Int(number) => Some(*number),
            Self::Text(text) => text.parse().ok(),
            _ => None,
        }
    }

    pub(crate) fn float(&self) -> Option<f64> {
        match self {
            Self::Float(number) => Some(*number).filter(|number| number.is_finite()),
            // Dates are far below 2^53.
            #[allow(clippy::cast_precision_loss)]
            Self::Int(number) => Some(*number as f64),
            _ => None,
        }
    }

    pub(crate) fn text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }

    /// Returns a text, also a phone that was written as a number.
    pub(crate) fn phone(&self) -> Option<String> {
        match self {
            Self::Text(text) => Some(text.to_string()),
            Self::Int(number) => Some(number.to_string()),
            _ => None,
        }
    }
}

/// Reads JSON.
pub(crate) fn from_json(bytes: &[u8]) -> Option<Value> {
    fn convert(json: serde_json::Value) -> Option<Value> {
        Some(match json {
            serde_json::Value::Null => Value::None,
            serde_json::Value::Bool(_) => Value::Bool,
            serde_json::Value::Number(number) => {
                number.as_i64().map(Value::Int).or(number.as_f64().map(Value::Float))?
            }
            serde_json::Value::String(text) => Value::Text(text.into()),
            serde_json::Value::Array(_) => return None,
            serde_json::Value::Object(object) => {
                let pairs = object.into_iter().map(|(key, value)| Some((Value::Text(key.into()), convert(value)?)));
                Value::Map(pairs.collect::<Option<_>>()?)
            }
        })
    }
    convert(serde_json::from_slice(bytes).ok()?)
}

/// Reads bytes from the front.
pub(crate) struct Reader<'a>(pub(crate) &'a [u8]);

impl<'a> Reader<'a> {
    pub(crate) fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    pub(crate) fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (taken, rest) = self.0.split_first_chunk::<N>()?;
        self.0 = rest;
        Some(*taken)
    }

    pub(crate) fn byte(&mut self) -> Option<u8> {
        self.array::<1>().map(|[byte]| byte)
    }

    pub(crate) fn text(&mut self, length: usize) -> Option<Value> {
        Some(Value::Text(std::str::from_utf8(self.take(length)?).ok()?.into()))
    }

    pub(crate) fn bytes(&mut self, length: usize) -> Option<Value> {
        Some(Value::Bytes(self.take(length)?.into()))
    }
}
