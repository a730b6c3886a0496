//! WebSocket frames as a client reads and writes them (RFC 6455, section 5).
//!
//! Only what a load generator needs: headers are read in place, nothing is copied, and the
//! masking of what is sent is the only work done per byte.

use thiserror::Error;

/// Longest frame that is accepted from a server.
pub const LONGEST: usize = 16 << 20;

/// What a frame is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Opcode {
    /// More of the message that an earlier frame began.
    Continuation,
    /// Text.
    Text,
    /// Bytes.
    Binary,
    /// The connection ends; the payload may say why.
    Close,
    /// Wants a pong with the same payload.
    Ping,
    /// Answers a ping.
    Pong,
}

impl Opcode {
    fn from_bits(bits: u8) -> Result<Self, FrameError> {
        Ok(match bits {
            0x0 => Self::Continuation,
            0x1 => Self::Text,
            0x2 => Self::Binary,
            0x8 => Self::Close,
            0x9 => Self::Ping,
            0xA => Self::Pong,
            other => return Err(FrameError::Opcode(other)),
        })
    }

    fn bits(self) -> u8 {
        match self {
            Self::Continuation => 0x0,
            Self::Text => 0x1,
            Self::Binary => 0x2,
            Self::Close => 0x8,
            Self::Ping => 0x9,
            Self::Pong => 0xA,
        }
    }
}

/// What a server must not send.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum FrameError {
    /// An opcode that the RFC does not have.
    #[error("opcode {0:#x} is unknown")]
    Opcode(u8),
    /// Reserved bits, although no extension was agreed.
    #[error("reserved bits are set")]
    Reserved,
    /// A masked frame.
    #[error("a server's frame is masked")]
    Masked,
    /// A frame longer than [`LONGEST`].
    #[error("frame of {0} bytes is too long")]
    TooLong(u64),
}

/// The head of one frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// Whether the message ends with this frame.
    pub last: bool,
    /// What it is for.
    pub opcode: Opcode,
    /// Bytes before the payload.
    pub head: usize,
    /// Bytes of the payload.
    pub payload: usize,
}

impl Header {
    /// Reads the head of the frame that `bytes` begin with; `None` when more is needed for that.
    ///
    /// # Errors
    ///
    /// When a server must not send this.
    #[inline]
    pub fn read(bytes: &[u8]) -> Result<Option<Self>, FrameError> {
        let &[first, second, ref rest @ ..] = bytes else {
            return Ok(None);
        };
        if first & 0x70 != 0 {
            return Err(FrameError::Reserved);
        }
        if second & 0x80 != 0 {
            return Err(FrameError::Masked);
        }
        let (head, payload) = match second {
            126 => match rest.first_chunk() {
                Some(length) => (4, u64::from(u16::from_be_bytes(*length))),
                None => return Ok(None),
            },
            127 => match rest.first_chunk() {
                Some(length) => (10, u64::from_be_bytes(*length)),
                None => return Ok(None),
            },
            length => (2, u64::from(length)),
        };
        let payload = usize::try_from(payload)
            .ok()
            .filter(|&payload| payload <= LONGEST)
            .ok_or(FrameError::TooLong(payload))?;
        Ok(Some(Self {
            last: first & 0x80 != 0,
            opcode: Opcode::from_bits(first & 0x0F)?,
            head,
            payload,
        }))
    }

    /// Bytes of the whole frame.
    #[must_use]
    pub fn length(&self) -> usize {
        self.head + self.payload
    }
}

/// Appends a client's frame, masked with `mask`.
pub fn write(out: &mut Vec<u8>, opcode: Opcode, payload: &[u8], mask: [u8; 4]) {
    out.push(0x80 | opcode.bits());
    if let Ok(short) = u8::try_from(payload.len())
        && short < 126
    {
        out.push(0x80 | short);
    } else if let Ok(medium) = u16::try_from(payload.len()) {
        out.push(0x80 | 126);
        out.extend_from_slice(&medium.to_be_bytes());
    } else {
        out.push(0x80 | 127);
        out.extend_from_slice(&(payload.len() as u64).to_be_bytes());
    }
    out.extend_from_slice(&mask);
    let start = out.len();
    out.extend_from_slice(payload);
    for chunk in out[start..].chunks_mut(4) {
        for (byte, key) in chunk.iter_mut().zip(mask) {
            *byte ^= key;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a server would send: a client's frame without its mask.
    fn server_frame(opcode: Opcode, payload: &[u8]) -> Vec<u8> {
        let mut frame = Vec::new();
        write(&mut frame, opcode, payload, [0; 4]);
        let head = frame.len() - payload.len() - 4;
        frame.drain(head..head + 4);
        frame[1] &= 0x7F;
        frame
    }

    #[test]
    fn every_length_is_read_as_it_was_written() {
        for length in [0, 1, 125, 126, 127, 65_535, 65_536, 100_000] {
            let payload = vec![b'x'; length];
            let frame = server_frame(Opcode::Text, &payload);
            let header = Header::read(&frame).expect("it is valid");
            let header = header.expect("it is complete");
            assert!(header.last);
            assert_eq!(header.opcode, Opcode::Text);
            assert_eq!(header.length(), frame.len());
            assert_eq!(&frame[header.head..], payload);
        }
    }

    #[test]
    fn a_head_that_is_not_complete_asks_for_more() {
        let frame = server_frame(Opcode::Binary, &[0; 70_000]);
        for length in 0..10 {
            assert_eq!(Header::read(&frame[..length]), Ok(None), "{length} bytes");
        }
        assert!(Header::read(&frame[..10]).expect("valid").is_some());
    }

    #[test]
    fn what_a_server_must_not_send_is_refused() {
        assert_eq!(Header::read(&[0xC1, 0]), Err(FrameError::Reserved));
        assert_eq!(Header::read(&[0x81, 0x80]), Err(FrameError::Masked));
        assert_eq!(Header::read(&[0x83, 0]), Err(FrameError::Opcode(3)));
        let long = [0x82, 127, 0, 0, 0, 1, 0, 0, 0, 0];
        assert_eq!(Header::read(&long), Err(FrameError::TooLong(1 << 32)));
    }

    #[test]
    fn a_written_frame_is_masked() {
        let mut frame = Vec::new();
        write(&mut frame, Opcode::Text, b"hello", [1, 2, 3, 4]);
        assert_eq!(frame[..6], [0x81, 0x85, 1, 2, 3, 4]);
        assert_eq!(
            frame[6..],
            [b'h' ^ 1, b'e' ^ 2, b'l' ^ 3, b'l' ^ 4, b'o' ^ 1]
        );
    }
}
