//! Frames (RFC 6455): finding a client's in a buffer, making a server's.

/// Longest message of a client.
const LONGEST: usize = 64 << 10;

/// A client's frame, already unmasked.
#[derive(Debug)]
pub(crate) struct Frame<'a> {
    pub(crate) opcode: u8,
    pub(crate) payload: &'a [u8],
    /// Bytes of the buffer that it took.
    pub(crate) length: usize,
}

pub(crate) const TEXT: u8 = 1;
pub(crate) const CLOSE: u8 = 8;
pub(crate) const PING: u8 = 9;
pub(crate) const PONG: u8 = 10;

/// The frame was too long, unmasked, or a fragment.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Refused;

/// The frame at the beginning of a buffer, unmasked in place; `None`: it is incomplete.
pub(crate) fn parse(buffer: &mut [u8]) -> Result<Option<Frame<'_>>, Refused> {
    let [first, second, ..] = *buffer else {
        return Ok(None);
    };
    let (is_final, is_masked) = (first & 0x80 != 0, second & 0x80 != 0);
    let (extended, short) = (buffer.get(2..), usize::from(second & 0x7f));
    let (length, header) = match (short, extended) {
        (127, _) => return Err(Refused),
        (126, Some(&[high, low, ..])) => (usize::from(u16::from_be_bytes([high, low])), 4),
        (126, _) => return Ok(None),
        (short, _) => (short, 2),
    };
    if !is_final || !is_masked || first & 0x70 != 0 || length > LONGEST {
        return Err(Refused);
    }
    let end = header + 4 + length;
    let Some(frame) = buffer.get_mut(header..end) else {
        return Ok(None);
    };
    let (mask, payload) = frame.split_at_mut(4);
    // Eight bytes at a time, so that it costs nothing beside the system calls.
    let mask = [mask[0], mask[1], mask[2], mask[3]];
    let wide = u64::from(u32::from_ne_bytes(mask)) * 0x1_0000_0001;
    let mut chunks = payload.chunks_exact_mut(8);
    for chunk in &mut chunks {
        for (byte, mask) in chunk.iter_mut().zip(wide.to_ne_bytes()) {
            *byte ^= mask;
        }
    }
    for (byte, mask) in chunks.into_remainder().iter_mut().zip(wide.to_ne_bytes()) {
        *byte ^= mask;
    }
    Ok(Some(Frame {
        opcode: first & 0x0f,
        payload,
        length: end,
    }))
}

/// A server's frame with everything before the payload.
pub(crate) fn frame(opcode: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = Vec::with_capacity(payload.len() + 10);
    frame.push(0x80 | opcode);
    match (u8::try_from(payload.len()), u16::try_from(payload.len())) {
        (Ok(length @ ..126), _) => frame.push(length),
        (_, Ok(length)) => {
            frame.push(126);
            frame.extend(length.to_be_bytes());
        }
        _ => {
            frame.push(127);
            frame.extend((payload.len() as u64).to_be_bytes());
        }
    }
    frame.extend(payload);
    frame
}

#[cfg(test)]
mod tests {
    use super::*;

    fn masked(opcode: u8, payload: &[u8]) -> Vec<u8> {
        let mut bytes = frame(opcode, payload);
        let header = bytes.len() - payload.len();
        bytes[1] |= 0x80;
        let mask = [1, 2, 3, 4];
        for (at, byte) in bytes[header..].iter_mut().enumerate() {
            *byte ^= mask[at % 4];
        }
        bytes.splice(header..header, mask);
        bytes
    }

    #[test]
    fn a_clients_frame_is_read_whatever_its_length() {
        for length in [0, 1, 7, 8, 9, 125, 126, 127, 128, 65_535] {
            let payload: Vec<u8> = (0..=250).cycle().take(length).collect();
            let bytes = masked(TEXT, &payload);
            for cut in [0, 1, 2, 5, bytes.len() - 1] {
                assert!(parse(&mut bytes[..cut].to_vec()).unwrap().is_none());
            }
            let mut bytes = [bytes.as_slice(), b"more"].concat();
            let frame = parse(&mut bytes).unwrap().unwrap();
            assert_eq!((frame.opcode, frame.payload), (TEXT, payload.as_slice()));
            assert_eq!(frame.length, bytes.len() - 4);
        }
    }

    #[test]
    fn what_no_client_may_send_is_refused() {
        let unmasked = frame(TEXT, b"sub a");
        let mut fragment = masked(TEXT, b"sub a");
        fragment[0] &= 0x7f;
        let mut long = masked(TEXT, &[0; 200]);
        long[1] = 0xff;
        for mut bytes in [unmasked, fragment, long] {
            assert_eq!(parse(&mut bytes).unwrap_err(), Refused);
        }
    }
}
