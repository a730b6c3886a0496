//! Ports for servers that are killed and started again at the same place.

use std::net::TcpListener;
use std::sync::atomic::{AtomicU16, Ordering};

/// Below the range from which the system takes ports for outgoing connections: there,
/// any connection could take a server's port while it is down.
const FIRST: u16 = 10_000;
const COUNT: u16 = 20_000;

static NEXT: AtomicU16 = AtomicU16::new(0);

/// A free port of 127.0.0.1 that this process has not given out before.
///
/// # Panics
/// If there is none.
pub(crate) fn free_port() -> u16 {
    // Processes that run side by side begin at different places.
    let offset = std::process::id().wrapping_mul(37) % u32::from(COUNT);
    let offset = u16::try_from(offset).expect("a remainder of a u16");
    for _ in 0..COUNT {
        let step = NEXT.fetch_add(1, Ordering::Relaxed) % COUNT;
        let port = FIRST + (offset + step) % COUNT;
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
    panic!("no port is free");
}
