//! What is published: a JSON document of a fixed length with a marker in it that tells where it
//! comes from, its number, and when it was due.
//!
//! The marker is found by a search for bytes, in whatever envelope a server wraps the document,
//! first where the last one was; and its digits have fixed places and are read eight at a time.
//! So it costs some nanoseconds and no parser.

use std::cell::Cell;

use memchr::memmem::Finder;

use crate::clock::Micros;

const START: &[u8; 3] = b"fb~";
const HEAD: &[u8] = br#"{"bench":""#;
const MIDDLE: &[u8] = br#"","text":""#;
const TAIL: &[u8] = br#""}"#;

/// Digits of a marker: 6 of its channel, 3 of its publisher, 10 of its sequence, 13 of its time.
const DIGITS: usize = 32;

/// Bytes of a marker: `fb~`, the digits, `~`.
const MARKER: usize = START.len() + DIGITS + 1;

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
        write_digits(out, self.due, 13);
        out.push(b'~');
    }

    #[inline]
    fn read(bytes: &[u8; MARKER]) -> Option<Self> {
        let (high, rest) = sixteen_digits(&bytes[START.len()..])?;
        let (low, rest) = sixteen_digits(rest)?;
        let sequence = high % 10_u64.pow(7) * 1000 + low / 10_u64.pow(13);
        (rest == b"~").then_some(Self {
            channel: u32::try_from(high / 10_u64.pow(10)).ok()?,
            publisher: u32::try_from(high / 10_u64.pow(7) % 1000).ok()?,
            sequence: u32::try_from(sequence).ok()?,
            due: low % 10_u64.pow(13),
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
}

#[inline]
fn sixteen_digits(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let (high, rest) = bytes.split_first_chunk()?;
    let (low, rest) = rest.split_first_chunk()?;
    let value = eight_digits(*high)? * 10_u64.pow(8) + eight_digits(*low)?;
    Some((value, rest))
}

/// All eight at once: neighbours are joined to pairs, pairs to fours, fours to the whole.
#[inline]
fn eight_digits(bytes: [u8; 8]) -> Option<u64> {
    const ZEROS: u64 = u64::from_ne_bytes([b'0'; 8]);
    // Puts into the highest bit of each byte whether it is above '9'.
    const ABOVE: u64 = u64::from_ne_bytes([0x7f - b'9'; 8]);
    const HIGHEST: u64 = u64::from_ne_bytes([0x80; 8]);
    let text = u64::from_le_bytes(bytes);
    if (text.wrapping_add(ABOVE) | text.wrapping_sub(ZEROS) | text) & HIGHEST != 0 {
        return None;
    }
    let digits = text - ZEROS;
    let pairs = (digits * 10 + (digits >> 8)) & 0x00ff_00ff_00ff_00ff;
    let fours = (pairs * 100 + (pairs >> 16)) & 0x0000_ffff_0000_ffff;
    Some((fours & 0xffff) * 10_000 + (fours >> 32))
}

/// Makes payloads, and finds them in what is received.
#[derive(Debug)]
pub struct Payloads {
    head: &'static [u8],
    /// All that follows the marker, the same in every payload.
    tail: Vec<u8>,
    finder: Finder<'static>,
    /// Where the last marker began in what was searched: where the next one begins, too, as long
    /// as it is about the same channel.
    likely: Cell<usize>,
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
            likely: Cell::new(0),
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
        while let Some(start) = self.start(rest) {
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
            // No room for another.
            if rest.len() < self.length() {
                break;
            }
        }
        count
    }

    #[inline]
    fn start(&self, bytes: &[u8]) -> Option<usize> {
        let likely = self.likely.get();
        let there = bytes.get(likely..likely + START.len());
        // No whole payload has room before it.
        if there == Some(START) && likely < self.length() {
            return Some(likely);
        }
        let start = self.finder.find(bytes)?;
        self.likely.set(start);
        Some(start)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIRST: Marker = Marker {
        channel: 12,
        publisher: 3,
        sequence: 4_000_000_000,
        due: 9_999_999_999_999,
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
        let start = HEAD.len() + START.len();
        for place in start..=start + DIGITS {
            for byte in [b'0' - 1, b'9' + 1, b'a', 0, 0x80, 0xff] {
                let mut changed = bytes.clone();
                changed[place] = byte;
                assert_eq!(found(&payloads, &changed), [None], "{byte} at {place}");
            }
        }
        let mut longer = b"\n".to_vec();
        longer.extend_from_slice(&bytes);
        assert_eq!(found(&payloads, &longer), [Some(FIRST)], "elsewhere now");
    }
}
