//! WebSocket frames (RFC 6455): reading a client's masked frames out of received
//! bytes, and preparing the server's.
//!
//! Ours instead of tungstenite's reader and writer because of what they cost per
//! connection: a read buffer that stays while the connection is idle, and a copy
//! of every payload into a write buffer that never shrinks. Here nothing is kept
//! between two complete messages, and a prepared frame is shared by all who get
//! it. tungstenite still judges the handshake.

use bytes::{BufMut, Bytes, BytesMut};

/// Text message.
pub(crate) const TEXT: u8 = 0x1;
/// Binary message.
pub(crate) const BINARY: u8 = 0x2;
const CONTINUATION: u8 = 0x0;
const CLOSE: u8 = 0x8;
const PING: u8 = 0x9;
const PONG: u8 = 0xA;

/// Largest payload of a control frame (RFC 6455, 5.5).
const MAX_CONTROL: usize = 125;

/// What a client sent.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Incoming {
    /// A whole data message (its fragments joined).
    Message(Bytes),
    /// A ping, to be answered with the same payload.
    Ping(Bytes),
    /// A pong; nothing needs to be done.
    Pong,
    /// A close frame with its code, if it had one.
    Close(Option<u16>),
}

/// Why the connection must be closed, by its close code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Violation {
    /// The frames break RFC 6455: 1002.
    Protocol,
    /// A message exceeds the limit: 1009.
    TooBig,
}

impl Violation {
    /// The close code of RFC 6455, 7.4.1.
    pub(crate) fn code(self) -> u16 {
        match self {
            Self::Protocol => 1002,
            Self::TooBig => 1009,
        }
    }
}

/// Assembles messages from received bytes. Holds memory only while a frame or a
/// fragmented message is incomplete.
#[derive(Debug, Default)]
pub(crate) struct Reader {
    /// Bytes of an incomplete frame; empty and unallocated otherwise.
    partial: BytesMut,
    /// The fragments so far of an unfinished message.
    message: Option<Box<BytesMut>>,
}

struct Header {
    fin: bool,
    opcode: u8,
    mask: [u8; 4],
    header_len: usize,
    payload_len: usize,
}

impl Reader {
    /// Whether what was received so far ended with a whole message.
    pub(crate) fn is_between_messages(&self) -> bool {
        self.partial.is_empty() && self.message.is_none()
    }

    /// Takes received bytes and calls `each` with everything that they complete.
    /// A payload longer than `limit` is refused when its header arrives, before
    /// anything is allocated for it.
    pub(crate) fn read(
        &mut self,
        received: &[u8],
        limit: usize,
        mut each: impl FnMut(Incoming),
    ) -> Result<(), Violation> {
        if self.partial.is_empty() {
            let used = self.parse(received, limit, &mut each)?;
            self.partial.extend_from_slice(&received[used..]);
        } else {
            self.partial.extend_from_slice(received);
            let bytes = std::mem::take(&mut self.partial);
            let used = self.parse(&bytes, limit, &mut each)?;
            if used < bytes.len() {
                self.partial = if used == 0 {
                    bytes
                } else {
                    BytesMut::from(&bytes[used..])
                };
            }
        }
        Ok(())
    }

    /// Parses all complete frames and returns how many bytes they took.
    fn parse(
        &mut self,
        bytes: &[u8],
        limit: usize,
        each: &mut impl FnMut(Incoming),
    ) -> Result<usize, Violation> {
        let mut used = 0;
        while let Some(header) = Header::parse(&bytes[used..], limit)? {
            let start = used + header.header_len;
            let Some(masked) = bytes.get(start..start + header.payload_len) else {
                break;
            };
            self.frame(&header, masked, limit, each)?;
            used = start + header.payload_len;
        }
        Ok(used)
    }

    fn frame(
        &mut self,
        header: &Header,
        masked: &[u8],
        limit: usize,
        each: &mut impl FnMut(Incoming),
    ) -> Result<(), Violation> {
        match header.opcode {
            TEXT | BINARY if self.message.is_some() => return Err(Violation::Protocol),
            TEXT | BINARY if header.fin => each(Incoming::Message(unmask(masked, header.mask))),
            TEXT | BINARY => {
                self.message = Some(Box::new(BytesMut::from(&unmask(masked, header.mask)[..])));
            }
            CONTINUATION => {
                let message = self.message.as_mut().ok_or(Violation::Protocol)?;
                if message.len() + masked.len() > limit {
                    return Err(Violation::TooBig);
                }
                message.extend_from_slice(&unmask(masked, header.mask));
                if header.fin
                    && let Some(message) = self.message.take()
                {
                    each(Incoming::Message(message.freeze()));
                }
            }
            PING => each(Incoming::Ping(unmask(masked, header.mask))),
            PONG => each(Incoming::Pong),
            CLOSE => {
                let payload = unmask(masked, header.mask);
                each(Incoming::Close(close_code(&payload)?));
            }
            _ => return Err(Violation::Protocol),
        }
        Ok(())
    }
}

/// The code in a close frame's payload.
fn close_code(payload: &[u8]) -> Result<Option<u16>, Violation> {
    match payload {
        [] => Ok(None),
        [_] => Err(Violation::Protocol),
        [high, low, reason @ ..] => {
            let code = u16::from_be_bytes([*high, *low]);
            let allowed = matches!(code, 1000..=1003 | 1007..=1014 | 3000..=4999);
            if allowed && std::str::from_utf8(reason).is_ok() {
                Ok(Some(code))
            } else {
                Err(Violation::Protocol)
            }
        }
    }
}

impl Header {
    /// Parses a header; `None` if it is not complete yet.
    fn parse(bytes: &[u8], limit: usize) -> Result<Option<Self>, Violation> {
        let [first, second, rest @ ..] = bytes else {
            return Ok(None);
        };
        let (fin, opcode) = (first & 0x80 != 0, first & 0x0F);
        let reserved_bits = first & 0x70 != 0;
        let masked = second & 0x80 != 0;
        let control = opcode & 0x8 != 0;
        if reserved_bits || !masked || (control && !fin) {
            return Err(Violation::Protocol);
        }
        let (announced, length_len) = match second & 0x7F {
            126 => {
                let Some(length) = rest.first_chunk::<2>() else {
                    return Ok(None);
                };
                (u64::from(u16::from_be_bytes(*length)), 2)
            }
            127 => {
                let Some(length) = rest.first_chunk::<8>() else {
                    return Ok(None);
                };
                (u64::from_be_bytes(*length), 8)
            }
            short => (u64::from(short), 0),
        };
        let payload_len = usize::try_from(announced).unwrap_or(usize::MAX);
        if control && payload_len > MAX_CONTROL {
            return Err(Violation::Protocol);
        }
        if payload_len > limit.max(MAX_CONTROL) {
            return Err(Violation::TooBig);
        }
        let Some(mask) = rest
            .get(length_len..)
            .and_then(|rest| rest.first_chunk::<4>())
        else {
            return Ok(None);
        };
        Ok(Some(Self {
            fin,
            opcode,
            mask: *mask,
            header_len: 2 + length_len + 4,
            payload_len,
        }))
    }
}

fn unmask(masked: &[u8], mask: [u8; 4]) -> Bytes {
    // Copied first, so that what follows is done in place and many bytes at a time.
    let mut payload = masked.to_vec();
    let key = u64::from(u32::from_ne_bytes(mask)) * 0x1_0000_0001;
    let (words, rest) = payload.as_chunks_mut::<8>();
    for word in words {
        *word = (u64::from_ne_bytes(*word) ^ key).to_ne_bytes();
    }
    for (byte, mask) in rest.iter_mut().zip(mask.iter().cycle()) {
        *byte ^= mask;
    }
    payload.into()
}

/// Whether a client sent one whole message of these bytes, and nothing else.
pub(crate) fn is_message(received: &[u8], message: &[u8]) -> bool {
    let Ok(Some(header)) = Header::parse(received, message.len()) else {
        return false;
    };
    let masked = &received[header.header_len..];
    let unmasked = masked.iter().zip(header.mask.iter().cycle());
    header.fin
        && matches!(header.opcode, TEXT | BINARY)
        && header.payload_len == masked.len()
        && unmasked
            .map(|(byte, mask)| byte ^ mask)
            .eq(message.iter().copied())
}

/// Prepares a whole data frame, ready to be sent to any number of clients.
pub(crate) fn data(opcode: u8, payload: &[u8]) -> Bytes {
    let mut frame = Vec::with_capacity(payload.len() + 10);
    append_data(&mut frame, opcode, payload);
    frame.into()
}

/// Prepares a data frame behind others.
pub(crate) fn append_data(frames: &mut Vec<u8>, opcode: u8, payload: &[u8]) {
    put_header(frames, opcode, payload.len());
    frames.put_slice(payload);
}

/// Prepares a pong that answers a ping.
pub(crate) fn pong(payload: &[u8]) -> Bytes {
    data(PONG, payload)
}

/// Prepares a protocol-level ping.
pub(crate) fn ping() -> Bytes {
    Bytes::from_static(&[0x80 | PING, 0])
}

/// Prepares a close frame. The reason is cut to what fits in a control frame.
pub(crate) fn close(code: u16, reason: &str) -> Bytes {
    let mut end = reason.len().min(MAX_CONTROL - 2);
    while !reason.is_char_boundary(end) {
        end -= 1;
    }
    let mut payload = BytesMut::with_capacity(2 + end);
    payload.put_u16(code);
    payload.put_slice(&reason.as_bytes()[..end]);
    data(CLOSE, &payload)
}

fn put_header(frame: &mut Vec<u8>, opcode: u8, length: usize) {
    frame.put_u8(0x80 | opcode);
    if let (Ok(short), true) = (u8::try_from(length), length < 126) {
        frame.put_u8(short);
    } else if let Ok(medium) = u16::try_from(length) {
        frame.put_u8(126);
        frame.put_u16(medium);
    } else {
        frame.put_u8(127);
        frame.put_u64(length as u64);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn masked(fin: bool, opcode: u8, payload: &[u8]) -> Vec<u8> {
        let mask = [0x11, 0x22, 0x33, 0x44];
        let mut bytes = vec![u8::from(fin) << 7 | opcode];
        match payload.len() {
            short @ 0..=125 => bytes.push(0x80 | u8::try_from(short).unwrap()),
            medium @ 126..=65535 => {
                bytes.push(0x80 | 126);
                bytes.extend(u16::try_from(medium).unwrap().to_be_bytes());
            }
            long => {
                bytes.push(0x80 | 127);
                bytes.extend((long as u64).to_be_bytes());
            }
        }
        bytes.extend(mask);
        bytes.extend(payload.iter().zip(mask.iter().cycle()).map(|(b, m)| b ^ m));
        bytes
    }

    fn read_in_steps(bytes: &[u8], step: usize, limit: usize) -> Result<Vec<Incoming>, Violation> {
        let mut reader = Reader::default();
        let mut seen = Vec::new();
        for chunk in bytes.chunks(step) {
            reader.read(chunk, limit, |incoming| seen.push(incoming))?;
        }
        Ok(seen)
    }

    #[test]
    fn messages_come_out_whole_however_they_arrive() {
        let long = vec![7u8; 70_000];
        let mut bytes = masked(true, TEXT, b"hello");
        bytes.extend(masked(false, TEXT, b"in "));
        bytes.extend(masked(true, PING, b"p"));
        bytes.extend(masked(false, CONTINUATION, b"three "));
        bytes.extend(masked(true, CONTINUATION, b"parts"));
        bytes.extend(masked(true, BINARY, &long));
        bytes.extend(masked(true, CLOSE, &[0x03, 0xE8]));
        let expected = vec![
            Incoming::Message(Bytes::from_static(b"hello")),
            Incoming::Ping(Bytes::from_static(b"p")),
            Incoming::Message(Bytes::from_static(b"in three parts")),
            Incoming::Message(Bytes::from(long)),
            Incoming::Close(Some(1000)),
        ];
        for step in [1, 2, 3, 7, 1000, bytes.len()] {
            let seen = read_in_steps(&bytes, step, 100_000).unwrap();
            assert_eq!(seen, expected, "in steps of {step}");
        }
    }

    /// Exactly where the reader finds one message of these bytes, and nothing else.
    #[test]
    fn a_whole_message_is_known_by_sight() {
        let pong = masked(true, TEXT, b"{}");
        let mut others = vec![
            pong.clone(),
            masked(true, BINARY, b"{}"),
            masked(true, TEXT, b"{ "),
            masked(true, TEXT, b"{}\n"),
            masked(true, TEXT, b""),
            masked(false, TEXT, b"{}"),
            masked(true, PING, b"{}"),
            [pong.clone(), pong.clone()].concat(),
            pong[..7].to_vec(),
            Vec::new(),
        ];
        for at in 0..pong.len() {
            for bit in 0..8 {
                let mut changed = pong.clone();
                changed[at] ^= 1 << bit;
                others.push(changed);
            }
        }
        for bytes in others {
            let mut reader = Reader::default();
            let mut seen = Vec::new();
            let read = reader.read(&bytes, 100, |incoming| seen.push(incoming));
            let is_message = read.is_ok()
                && reader.is_between_messages()
                && seen == [Incoming::Message(Bytes::from_static(b"{}"))];
            assert_eq!(super::is_message(&bytes, b"{}"), is_message, "{bytes:?}");
        }
    }

    #[test]
    fn nothing_is_held_between_messages() {
        let mut reader = Reader::default();
        let bytes = masked(true, TEXT, b"hello");
        reader.read(&bytes[..4], 100, |_| {}).unwrap();
        reader.read(&bytes[4..], 100, |_| {}).unwrap();
        assert_eq!(reader.partial.capacity(), 0);
        assert!(reader.message.is_none());
    }

    #[test]
    fn an_announced_length_over_the_limit_is_refused_at_once() {
        let header = [0x80 | BINARY, 0x80 | 127, 0, 0, 0, 1, 0, 0, 0, 0];
        let refused = read_in_steps(&header, 10, 65_536);
        assert_eq!(refused, Err(Violation::TooBig));
        let fragments = [
            masked(false, TEXT, &[b'a'; 60]),
            masked(true, CONTINUATION, &[b'a'; 60]),
        ];
        assert_eq!(
            read_in_steps(&fragments.concat(), 8, 100),
            Err(Violation::TooBig)
        );
    }

    #[test]
    fn what_the_specification_forbids_is_a_violation() {
        let unmasked = vec![0x81, 0x01, b'a'];
        let reserved = vec![0xC1, 0x80, 0, 0, 0, 0];
        let unknown = masked(true, 0x3, b"");
        let fragmented_ping = masked(false, PING, b"");
        let long_ping = masked(true, PING, &[0; 126]);
        let lone_continuation = masked(true, CONTINUATION, b"a");
        let nested = [masked(false, TEXT, b"a"), masked(true, TEXT, b"b")].concat();
        let short_close = masked(true, CLOSE, &[3]);
        let bad_code = masked(true, CLOSE, &[0x03, 0xED]);
        for bytes in [
            unmasked,
            reserved,
            unknown,
            fragmented_ping,
            long_ping,
            lone_continuation,
            nested,
            short_close,
            bad_code,
        ] {
            assert_eq!(
                read_in_steps(&bytes, 64, 1000),
                Err(Violation::Protocol),
                "{bytes:x?}"
            );
        }
    }

    #[test]
    fn frames_are_prepared_with_the_shortest_header() {
        assert_eq!(&data(TEXT, b"ab")[..], &[0x81, 2, b'a', b'b']);
        assert_eq!(&data(BINARY, &[0; 126])[..4], &[0x82, 126, 0, 126]);
        assert_eq!(
            &data(BINARY, &[0; 65_536])[..10],
            &[0x82, 127, 0, 0, 0, 0, 0, 1, 0, 0]
        );
        assert_eq!(&close(3001, "shutdown")[..4], &[0x88, 10, 0x0B, 0xB9]);
        assert_eq!(close(3001, &"ü".repeat(100)).len(), 2 + 124);
    }
}
