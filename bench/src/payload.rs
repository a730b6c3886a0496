//! What is published: a JSON document of a fixed length with a marker in it that tells where it
//! comes from, its number, and when it was due.
//!
//! The marker is found by a search for bytes, in whatever envelope a server wraps the document,
//! and has fixed places for its digits: reading it costs some tens of nanoseconds and no parser.

use memchr::memmem::Finder;

use crate::clock::Micros;

const START: &[u8; 3] = b"fb~";
const HEAD: &[u8] = br#"{"bench":""#;
const MIDDLE: &[u8] = br#"","text":""#;
const TAIL: &[u8] = br#""}"#;

/// Bytes of a marker: `fb~`, then channel, publisher, sequence and time, each followed by `~`.
const MARKER: usize = START.len() + 6 + 1 + 3 + 1 + 10 + 1 + 12 + 1;

/// How many channels can be told apart.
pub const CHANNELS: usize = 1_000_000;

/// The publisher number of publications that only ask whether somebody listens.
pub const PROBE: u32 = 999;

/// Which publication it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Marker {
    /// The channel it was published to, below [`CHANNELS`].
    pub channel: u32,
    /// Which of the channel's publishers published it, below [`PROBE`].
    pub publisher: u32,
    /// Which of this publisher's publications to this channel it is, from 0.
    pub sequence: u32,
    /// When it was to be published; it may have been later.
    pub due: Micros,
}

impl Marker {
    fn write(self, out: &mut Vec<u8>) {
        out.extend_from_slice(START);
        write_digits(out, u64::from(self.channel), 6);
        write_digits(out, u64::from(self.publisher), 3);
        write_digits(out, u64::from(self.sequence), 10);
        write_digits(out, self.due, 12);
    }

    fn read(bytes: &[u8; MARKER]) -> Option<Self> {
        let mut rest = &bytes[START.len()..];
        Some(Self {
            channel: u32::try_from(read_digits(&mut rest, 6)?).ok()?,
            publisher: u32::try_from(read_digits(&mut rest, 3)?).ok()?,
            sequence: u32::try_from(read_digits(&mut rest, 10)?).ok()?,
            due: read_digits(&mut rest, 12)?,
        })
    }
}

fn write_digits(out: &mut Vec<u8>, mut value: u64, width: usize) {
    let start = out.len();
    out.resize(start + width, b'0');
    for place in out[start..].iter_mut().rev() {
        let digit = (value % 10) as u8;
        *place = b'0' + digit;
        value /= 10;
    }
    out.push(b'~');
}

#[inline]
fn read_digits(rest: &mut &[u8], width: usize) -> Option<u64> {
    let (digits, after) = rest.split_at_checked(width)?;
    let mut value = 0;
    for &digit in digits {
        let digit = digit.wrapping_sub(b'0');
        if digit > 9 {
            return None;
        }
        value = value * 10 + u64::from(digit);
    }
    let (end, after) = after.split_first()?;
    *rest = after;
    (*end == b'~').then_some(value)
}

/// Makes payloads, and finds them in what is received.
#[derive(Debug)]
pub struct Payloads {
    head: &'static [u8],
    /// All that follows the marker, the same in every payload.
    tail: Vec<u8>,
    finder: Finder<'static>,
}

impl Payloads {
    /// JSON objects of `length` bytes, or as many as the marker needs.
    #[must_use]
    pub fn json(length: usize) -> Self {
        let fixed = HEAD.len() + MARKER + MIDDLE.len() + TAIL.len();
        let mut tail = MIDDLE.to_vec();
        tail.resize(tail.len() + length.saturating_sub(fixed), b'x');
        tail.extend_from_slice(TAIL);
        Self::new(HEAD, tail)
    }

    /// Bare text of `length` bytes, or as many as the marker needs; JSON escapes none of it.
    #[must_use]
    pub fn text(length: usize) -> Self {
        Self::new(b"", vec![b'x'; length.saturating_sub(MARKER)])
    }

    fn new(head: &'static [u8], tail: Vec<u8>) -> Self {
        Self {
            head,
            tail,
            finder: Finder::new(START),
        }
    }

    /// Bytes of one payload.
    #[must_use]
    pub fn length(&self) -> usize {
        self.head.len() + MARKER + self.tail.len()
    }

    /// Appends one payload.
    pub fn write(&self, marker: Marker, out: &mut Vec<u8>) {
        out.extend_from_slice(self.head);
        marker.write(out);
        out.extend_from_slice(&self.tail);
    }

    /// Calls `found` with each marker of `bytes`, in their order; `None` stands for a payload that
    /// is not as it was sent. Returns how many there were.
    #[inline]
    pub fn find(&self, bytes: &[u8], mut found: impl FnMut(Option<Marker>)) -> usize {
        let mut rest = bytes;
        let mut count = 0;
        while let Some(start) = self.finder.find(rest) {
            rest = &rest[start..];
            let marker = rest.first_chunk().and_then(Marker::read);
            let whole = marker.filter(|_| rest[MARKER..].starts_with(&self.tail));
            found(whole);
            count += 1;
            let end = if whole.is_some() {
                MARKER + self.tail.len()
            } else {
                START.len()
            };
            rest = &rest[end..];
        }
        count
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIRST: Marker = Marker {
        channel: 12,
        publisher: 3,
        sequence: 4_000_000_000,
        due: 999_999_999_999,
    };
    const SECOND: Marker = Marker {
        channel: 999_999,
        publisher: 0,
        sequence: 0,
        due: 0,
    };

    fn found(payloads: &Payloads, bytes: &[u8]) -> Vec<Option<Marker>> {
        let mut markers = Vec::new();
        let count = payloads.find(bytes, |marker| markers.push(marker));
        assert_eq!(count, markers.len());
        markers
    }

    #[test]
    fn payloads_are_json_of_the_length_asked_for() {
        let payloads = Payloads::json(128);
        let mut bytes = Vec::new();
        payloads.write(FIRST, &mut bytes);
        assert_eq!((bytes.len(), payloads.length()), (128, 128));
        serde_json::from_slice::<serde_json::Value>(&bytes).expect("it is JSON");
    }

    #[test]
    fn several_are_found_in_any_envelope() {
        let payloads = Payloads::json(100);
        let mut bytes = b"MSG bench.1 1 100\r\n".to_vec();
        payloads.write(FIRST, &mut bytes);
        bytes.extend_from_slice(b"}}\n{\"push\":{\"pub\":{\"data\":");
        payloads.write(SECOND, &mut bytes);
        assert_eq!(found(&payloads, &bytes), [Some(FIRST), Some(SECOND)]);
        assert_eq!(found(&payloads, b"+OK\r\n"), []);
    }

    #[test]
    fn a_payload_that_was_changed_is_none() {
        let payloads = Payloads::json(100);
        let mut bytes = Vec::new();
        payloads.write(FIRST, &mut bytes);
        let cut = &bytes[..99];
        assert_eq!(found(&payloads, cut), [None]);
        assert_eq!(found(&payloads, &bytes[..20]), [None]);
        let mut letter = bytes.clone();
        letter[15] = b'a';
        assert_eq!(found(&payloads, &letter), [None]);
    }
}
