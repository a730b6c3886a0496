//! Whether bytes are one JSON value.

/// The deepest nesting of arrays and objects that is accepted in a payload.
///
/// Deeper values are legal JSON, but recursive parsers at the other end may die of them, and any
/// publisher could send one to all subscribers of a channel.
const MAX_DEPTH: usize = 512;

/// Whether `bytes` are one JSON value in UTF-8, with white space around it allowed.
///
/// One pass, nothing is allocated, no recursion. Values nested more than 512 deep are refused.
#[must_use]
pub fn is_json(bytes: &[u8]) -> bool {
    std::str::from_utf8(bytes).is_ok() && Scanner { rest: bytes }.document().is_some()
}

/// Reads one JSON value and keeps nothing but its place. Every step answers `None` on bad input.
struct Scanner<'a> {
    rest: &'a [u8],
}

/// What the innermost open bracket is; one bit per level.
struct Nesting {
    depth: usize,
    is_object: [u64; MAX_DEPTH / 64],
}

impl Nesting {
    fn open(&mut self, is_object: bool) -> Option<()> {
        let word = self.is_object.get_mut(self.depth / 64)?;
        let bit = 1 << (self.depth % 64);
        *word = if is_object { *word | bit } else { *word & !bit };
        self.depth += 1;
        Some(())
    }

    fn close(&mut self) {
        self.depth -= 1;
    }

    /// Whether the innermost open bracket is an object's; `None` when none is open.
    fn in_object(&self) -> Option<bool> {
        let level = self.depth.checked_sub(1)?;
        Some(self.is_object[level / 64] >> (level % 64) & 1 == 1)
    }
}

impl Scanner<'_> {
    fn document(mut self) -> Option<()> {
        let mut nesting = Nesting {
            depth: 0,
            is_object: [0; MAX_DEPTH / 64],
        };
        loop {
            // A value begins here.
            match self.token()? {
                b'{' => {
                    if self.peek()? == b'}' {
                        self.skip(1);
                    } else {
                        nesting.open(true)?;
                        self.key()?;
                        continue;
                    }
                }
                b'[' => {
                    if self.peek()? == b']' {
                        self.skip(1);
                    } else {
                        nesting.open(false)?;
                        continue;
                    }
                }
                b'"' => self.string()?,
                b't' => self.word(b"rue")?,
                b'f' => self.word(b"alse")?,
                b'n' => self.word(b"ull")?,
                first @ (b'-' | b'0'..=b'9') => self.number(first)?,
                _ => return None,
            }
            // A value ended here: go up as far as brackets close.
            loop {
                let Some(in_object) = nesting.in_object() else {
                    self.space();
                    return self.rest.is_empty().then_some(());
                };
                match (self.token()?, in_object) {
                    (b',', true) => {
                        self.key()?;
                        break;
                    }
                    (b',', false) => break,
                    (b'}', true) | (b']', false) => nesting.close(),
                    _ => return None,
                }
            }
        }
    }

    fn skip(&mut self, n: usize) {
        self.rest = &self.rest[n..];
    }

    fn space(&mut self) {
        while let [b' ' | b'\t' | b'\n' | b'\r', ..] = self.rest {
            self.skip(1);
        }
    }

    /// The next byte that is not white space, left in place.
    fn peek(&mut self) -> Option<u8> {
        self.space();
        self.rest.first().copied()
    }

    /// The next byte that is not white space, taken.
    fn token(&mut self) -> Option<u8> {
        let byte = self.peek()?;
        self.skip(1);
        Some(byte)
    }

    fn word(&mut self, expected: &[u8]) -> Option<()> {
        self.rest = self.rest.strip_prefix(expected)?;
        Some(())
    }

    fn key(&mut self) -> Option<()> {
        (self.token()? == b'"').then_some(())?;
        self.string()?;
        (self.token()? == b':').then_some(())
    }

    /// The rest of a string, after its opening quote.
    fn string(&mut self) -> Option<()> {
        loop {
            let end = find_special(self.rest)?;
            let special = self.rest[end];
            self.skip(end + 1);
            match special {
                b'"' => return Some(()),
                b'\\' => match self.rest.first()? {
                    b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => self.skip(1),
                    b'u' => {
                        let digits = self.rest.get(1..5)?;
                        digits
                            .iter()
                            .all(u8::is_ascii_hexdigit)
                            .then(|| self.skip(5))?;
                    }
                    _ => return None,
                },
                _ => return None,
            }
        }
    }

    /// The rest of a number, after its first character.
    fn number(&mut self, first: u8) -> Option<()> {
        let first = if first == b'-' {
            let digit = *self.rest.first()?;
            self.skip(1);
            digit
        } else {
            first
        };
        match first {
            b'0' => {}
            b'1'..=b'9' => self.digits(),
            _ => return None,
        }
        if let [b'.', b'0'..=b'9', ..] = self.rest {
            self.skip(2);
            self.digits();
        } else if let [b'.', ..] = self.rest {
            return None;
        }
        if let [b'e' | b'E', ..] = self.rest {
            self.skip(1);
            if let [b'+' | b'-', ..] = self.rest {
                self.skip(1);
            }
            matches!(self.rest, [b'0'..=b'9', ..]).then_some(())?;
            self.digits();
        }
        Some(())
    }

    fn digits(&mut self) {
        while let [b'0'..=b'9', ..] = self.rest {
            self.skip(1);
        }
    }
}

/// Bytes of a string that are looked at in one step: a vector register.
const CHUNK: usize = 16;

/// Where in a string the first byte is that cannot stand for itself.
pub(super) fn find_special(bytes: &[u8]) -> Option<usize> {
    let (chunks, _) = bytes.as_chunks();
    let plain = chunks.iter().take_while(|chunk| is_plain(chunk)).count() * CHUNK;
    let special = bytes[plain..].iter().copied().position(is_special)?;
    Some(plain + special)
}

/// Whether nothing in a part of a string ends it, escapes anything or is forbidden.
/// Without a branch per byte, so that the compiler makes a few vector instructions of it.
fn is_plain(chunk: &[u8; CHUNK]) -> bool {
    !chunk
        .iter()
        .fold(false, |found, &byte| found | is_special(byte))
}

fn is_special(byte: u8) -> bool {
    (byte < 0x20) | (byte == b'"') | (byte == b'\\')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{Just, Strategy, any, prop_oneof, proptest};

    use super::{MAX_DEPTH, is_json};

    fn serde_agrees(bytes: &[u8]) {
        let expected = serde_json::from_slice::<&serde_json::value::RawValue>(bytes).is_ok();
        assert_eq!(
            is_json(bytes),
            expected,
            "{:?}",
            String::from_utf8_lossy(bytes)
        );
    }

    #[test]
    fn agrees_with_serde_on_the_corners() {
        let cases = [
            "",
            " ",
            "null",
            " true ",
            "false",
            "nul",
            "nulll",
            "0",
            "-0",
            "-",
            "01",
            "1.",
            ".5",
            "1.5",
            "1e",
            "1e5",
            "1E+5",
            "1e-",
            "1.5e-10",
            "-1.0E2x",
            "\"\"",
            "\"a",
            "\"\\\"\"",
            "\"\\u12aF\"",
            "\"\\u12g4\"",
            "\"\\x\"",
            "\"\n\"",
            "{}",
            "{ }",
            "[]",
            "[ ]",
            "[1,]",
            "[,1]",
            "[1 2]",
            "{\"a\":1}",
            "{\"a\":1,}",
            "{\"a\"}",
            "{a:1}",
            "{\"a\":}",
            "{,}",
            "[1]]",
            "{]",
            "[}",
            "[[{\"a\":[1,{\"b\":null}]}],2]",
            "1 1",
            "{} {}",
            "\u{7f}",
            "\"é\"",
            "\u{feff}1",
            "\"\\",
            "\"\\u1",
            "[\"a\",\r\n\t1]",
            "{\"a\":[}",
            "{\"a\":1]",
            "[1}",
        ];
        for case in cases {
            serde_agrees(case.as_bytes());
        }
        serde_agrees(b"\"\xff\"");
    }

    #[test]
    fn a_string_is_looked_at_to_its_end_however_long_it_is() {
        for length in 0..50 {
            for special in [b'"', b'\\', b'\n', 0x1f, b' ', 0x7f] {
                for at in 0..length {
                    let mut string = vec![b'a'; length];
                    string[at] = special;
                    serde_agrees(&[b"\"", &string[..], b"\""].concat());
                }
            }
        }
    }

    #[test]
    fn nesting_is_limited_and_needs_no_stack() {
        let nested = |depth: usize| [vec![b'['; depth], vec![b']'; depth]].concat();
        assert!(is_json(&nested(MAX_DEPTH)));
        assert!(!is_json(&nested(MAX_DEPTH + 2)));
        assert!(!is_json(&nested(10_000_000)));
        let objects =
            |depth: usize| [b"{\"a\":".repeat(depth), b"1".to_vec(), b"}".repeat(depth)].concat();
        assert!(is_json(&objects(MAX_DEPTH)));
        assert!(!is_json(&objects(MAX_DEPTH + 1)));
    }

    fn pieces() -> impl Strategy<Value = Vec<u8>> {
        let piece = prop_oneof![
            Just("{"),
            Just("}"),
            Just("["),
            Just("]"),
            Just(","),
            Just(":"),
            Just("\"a\""),
            Just("\""),
            Just("\\"),
            Just("\\n"),
            Just("1"),
            Just("-"),
            Just("0"),
            Just("."),
            Just("e"),
            Just("true"),
            Just("null"),
            Just(" "),
            Just("\n"),
            Just("\"k\":"),
            Just("{\"a\":1}"),
            Just("[1,2]"),
        ];
        proptest::collection::vec(piece, 0..12).prop_map(|pieces| pieces.concat().into_bytes())
    }

    proptest! {
        #[test]
        fn agrees_with_serde_on_any_bytes(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            serde_agrees(&bytes);
        }

        #[test]
        fn agrees_with_serde_on_pieces_of_json(bytes in pieces()) {
            serde_agrees(&bytes);
        }
    }
}
