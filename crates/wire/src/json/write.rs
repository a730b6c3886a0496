//! How values are written as JSON.

use std::collections::BTreeMap;

use bytes::Bytes;
use memchr::memchr2;

use crate::frame::EncodeError;
use crate::json::is_json;
use crate::json::scan::find_special;

/// A value of the protocol that can be written as JSON.
pub(crate) trait Write {
    /// Whether the value is left out where it may be.
    fn is_zero(&self) -> bool {
        false
    }

    /// Appends the value. After an error, `out` holds something incomplete.
    fn write(&self, out: &mut Vec<u8>) -> Result<(), EncodeError>;
}

/// Ends an object or array each of whose members ends in a comma.
pub(crate) fn close(out: &mut Vec<u8>, bracket: u8) {
    match out.last_mut() {
        Some(comma @ b',') => *comma = bracket,
        _ => out.push(bracket),
    }
}

/// Appends `text` as a JSON string, quotes included.
///
/// Also the way to hand a text payload to clients that expect `data` to be a string.
pub fn quote(text: &str, out: &mut Vec<u8>) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    out.reserve(text.len() + 2);
    out.push(b'"');
    let mut rest = text.as_bytes();
    while let Some(at) = find_special(rest) {
        let (plain, special) = rest.split_at(at);
        out.extend_from_slice(plain);
        match special[0] {
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\r' => out.extend_from_slice(b"\\r"),
            b'\t' => out.extend_from_slice(b"\\t"),
            control @ ..0x20 => {
                out.extend_from_slice(b"\\u00");
                out.push(HEX[usize::from(control >> 4)]);
                out.push(HEX[usize::from(control & 15)]);
            }
            character => out.extend_from_slice(&[b'\\', character]),
        }
        rest = &special[1..];
    }
    out.extend_from_slice(rest);
    out.push(b'"');
}

fn number(mut value: u64, out: &mut Vec<u8>) {
    let mut digits = [0; 20];
    let mut start = digits.len();
    loop {
        start -= 1;
        let digit = (value % 10) as u8;
        digits[start] = b'0' + digit;
        value /= 10;
        if value == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[start..]);
}

impl Write for u64 {
    fn is_zero(&self) -> bool {
        *self == 0
    }

    fn write(&self, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        number(*self, out);
        Ok(())
    }
}

impl Write for i64 {
    fn is_zero(&self) -> bool {
        *self == 0
    }

    fn write(&self, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        if *self < 0 {
            out.push(b'-');
        }
        number(self.unsigned_abs(), out);
        Ok(())
    }
}

impl Write for u32 {
    fn is_zero(&self) -> bool {
        *self == 0
    }

    fn write(&self, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        u64::from(*self).write(out)
    }
}

impl Write for i32 {
    fn is_zero(&self) -> bool {
        *self == 0
    }

    fn write(&self, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        i64::from(*self).write(out)
    }
}

impl Write for bool {
    fn is_zero(&self) -> bool {
        !self
    }

    fn write(&self, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        out.extend_from_slice(if *self { b"true" } else { b"false" });
        Ok(())
    }
}

impl Write for String {
    fn is_zero(&self) -> bool {
        self.is_empty()
    }

    fn write(&self, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        quote(self, out);
        Ok(())
    }
}

/// A payload: a JSON value, embedded without its line breaks, which separate messages.
impl Write for Bytes {
    fn is_zero(&self) -> bool {
        self.is_empty()
    }

    fn write(&self, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        if !is_json(self) {
            return Err(EncodeError::NotJson);
        }
        let mut rest = &self[..];
        // In a valid value raw line breaks are white space only: inside strings they are escaped.
        while let Some(at) = memchr2(b'\n', b'\r', rest) {
            out.extend_from_slice(&rest[..at]);
            rest = &rest[at + 1..];
        }
        out.extend_from_slice(rest);
        Ok(())
    }
}

impl<T: Write> Write for Vec<T> {
    fn is_zero(&self) -> bool {
        self.is_empty()
    }

    fn write(&self, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        out.push(b'[');
        for item in self {
            item.write(out)?;
            out.push(b',');
        }
        close(out, b']');
        Ok(())
    }
}

impl<T: Write> Write for BTreeMap<String, T> {
    fn is_zero(&self) -> bool {
        self.is_empty()
    }

    fn write(&self, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        out.push(b'{');
        for (key, value) in self {
            quote(key, out);
            out.push(b':');
            value.write(out)?;
            out.push(b',');
        }
        close(out, b'}');
        Ok(())
    }
}

impl<T: Write> Write for Option<T> {
    fn is_zero(&self) -> bool {
        self.is_none()
    }

    fn write(&self, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        match self {
            Some(value) => value.write(out),
            None => {
                out.extend_from_slice(b"null");
                Ok(())
            }
        }
    }
}

impl<T: Write> Write for Box<T> {
    fn is_zero(&self) -> bool {
        self.as_ref().is_zero()
    }

    fn write(&self, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        self.as_ref().write(out)
    }
}

#[cfg(test)]
mod tests {
    use super::{Write, quote};

    fn written(value: &impl Write) -> String {
        let mut out = Vec::new();
        value.write(&mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn numbers_are_exact() {
        for value in [0, 1, 9, 10, 12_345, u64::MAX] {
            assert_eq!(written(&value), value.to_string());
        }
        for value in [i64::MIN, -1, 0, 7, i64::MAX] {
            assert_eq!(written(&value), value.to_string());
        }
    }

    #[test]
    fn strings_are_escaped() {
        let text = "a\"b\\c\n\r\t\u{0}\u{1f}\u{7f}é\u{2028}😀";
        let mut out = Vec::new();
        quote(text, &mut out);
        assert_eq!(serde_json::from_slice::<String>(&out).unwrap(), text);
        assert_eq!(
            out,
            b"\"a\\\"b\\\\c\\n\\r\\t\\u0000\\u001f\x7f\xc3\xa9\xe2\x80\xa8\xf0\x9f\x98\x80\""
        );
    }

    #[test]
    fn payloads_lose_their_line_breaks_only() {
        let payload = bytes::Bytes::from_static(b"{\r\n  \"a\": \"x\\ny\",\n \"b\": [1,\n2]\n}");
        assert_eq!(written(&payload), "{  \"a\": \"x\\ny\", \"b\": [1,2]}");
    }
}
