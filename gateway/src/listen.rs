//! Listening sockets: one per thread, on one address.
//!
//! With one socket for all threads, the kernel wakes all of them for each connection,
//! and the quickest takes it: of clients that came one after the other, one of two
//! threads got 96 in 100. With a socket each, the kernel spreads connections by their
//! addresses and ports, and wakes one thread (`SO_REUSEPORT`, socket(7)).

use std::io;
use std::net::{SocketAddr, TcpListener};

use socket2::{Domain, Protocol, Socket, Type};

/// Connections that may wait to be accepted.
const BACKLOG: i32 = 8_192;
/// Elsewhere the option means something else, or nothing: there all threads share a
/// socket.
const SPREADS: bool = cfg!(target_os = "linux");

/// Listens on an address, with a socket for each of some threads.
///
/// # Errors
/// The operating system's. [`AddrInUse`](io::ErrorKind::AddrInUse) also if a process
/// that shares its port listens there.
pub(crate) fn listen(address: SocketAddr, threads: usize) -> io::Result<Vec<TcpListener>> {
    if !SPREADS {
        let only = bind(address, false)?;
        only.listen(BACKLOG)?;
        let only = TcpListener::from(only);
        return (0..threads).map(|_| only.try_clone()).collect();
    }
    // Whoever shares a port lets others in: this one does not, and is kept until the
    // others listen. For port 0 the kernel takes one that nobody has.
    let _alone = match address.port() {
        0 => None,
        _ => Some(bind(address, false)?),
    };
    let first = bind(address, true)?;
    let address = first.local_addr()?.as_socket();
    let address = address.ok_or(io::ErrorKind::AddrNotAvailable)?;
    let mut sockets = vec![first];
    for _ in 1..threads {
        sockets.push(bind(address, true)?);
    }
    for socket in &sockets {
        socket.listen(BACKLOG)?;
    }
    Ok(sockets.into_iter().map(TcpListener::from).collect())
}

fn bind(address: SocketAddr, shared: bool) -> io::Result<Socket> {
    let socket = Socket::new(
        Domain::for_address(address),
        Type::STREAM,
        Some(Protocol::TCP),
    )?;
    socket.set_nonblocking(true)?;
    socket.set_reuse_address(true)?;
    #[cfg(target_os = "linux")]
    socket.set_reuse_port(shared)?;
    #[cfg(not(target_os = "linux"))]
    let _ = shared;
    // What is accepted inherits it: a call less for each connection.
    socket.set_tcp_nodelay(true)?;
    socket.bind(&address.into())?;
    Ok(socket)
}

#[cfg(test)]
mod tests {
    use std::net::TcpStream;

    use super::*;

    fn local() -> SocketAddr {
        ([127, 0, 0, 1], 0).into()
    }

    #[test]
    fn accepted_streams_inherit_that_small_writes_do_not_wait() {
        let listener = listen(local(), 1).unwrap().remove(0);
        let _client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (accepted, _) = listener.accept().unwrap();
        assert!(accepted.nodelay().unwrap());
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn who_comes_one_after_the_other_is_spread_over_threads() {
        const CLIENTS: usize = 128;
        let listeners = listen(local(), 2).unwrap();
        let address = listeners[0].local_addr().unwrap();
        assert_eq!(listeners[1].local_addr().unwrap(), address);
        let mut counts = [0; 2];
        for _ in 0..CLIENTS {
            let _client = TcpStream::connect(address).unwrap();
            for (listener, count) in listeners.iter().zip(&mut counts) {
                *count += usize::from(listener.accept().is_ok());
            }
        }
        // Even odds leave a thread with fewer than a quarter once in a hundred million.
        assert_eq!(counts[0] + counts[1], CLIENTS);
        assert!(counts.iter().all(|&n| n > CLIENTS / 4), "{counts:?}");
    }

    #[test]
    fn a_second_server_is_told_that_the_address_is_in_use() {
        let listeners = listen(local(), 2).unwrap();
        let address = listeners[0].local_addr().unwrap();
        let second = listen(address, 2).unwrap_err();
        assert_eq!(second.kind(), io::ErrorKind::AddrInUse);
        drop(listeners);
        // Nobody waits for the end of its connections.
        assert_eq!(listen(address, 2).unwrap().len(), 2);
    }
}
