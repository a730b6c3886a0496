use std::future::poll_fn;
use std::io::{Read as _, Write};

use proptest::prelude::*;
use rustls::pki_types::{PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsConnector;

use super::*;

/// Of a server and of a client that trusts it.
fn configs(max_fragment_size: Option<usize>) -> (Arc<ServerConfig>, Arc<ClientConfig>) {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let key = PrivateKeyDer::Pkcs8(made.signing_key.serialize_der().into());
    let server = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key)
        .unwrap();
    let mut roots = RootCertStore::empty();
    roots.add(made.cert.der().clone()).unwrap();
    let mut client = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    client.max_fragment_size = max_fragment_size;
    (Arc::new(server), Arc::new(client))
}

fn name() -> ServerName<'static> {
    "localhost".try_into().unwrap()
}

/// Both ends without a network between them.
struct Pair {
    client: ClientConnection,
    server: State,
    /// What the server has read.
    read: Vec<u8>,
}

impl Pair {
    fn new(max_fragment_size: Option<usize>) -> Self {
        let (server, client) = configs(max_fragment_size);
        Self {
            client: ClientConnection::new(client, name()).unwrap(),
            server: State::new(server).unwrap(),
            read: Vec::new(),
        }
    }

    /// Carries bytes until neither has any, to the server in pieces of this size.
    fn carry(&mut self, piece: usize) -> io::Result<()> {
        loop {
            let mut bytes = Vec::new();
            while self.client.wants_write() {
                self.client.write_tls(&mut bytes)?;
            }
            let answer = std::mem::take(&mut self.server.unsent);
            if bytes.is_empty() && answer.is_empty() {
                return Ok(());
            }
            self.feed(&bytes, piece)?;
            self.answer(&answer)?;
        }
    }

    fn feed(&mut self, bytes: &[u8], piece: usize) -> io::Result<()> {
        for piece in bytes.chunks(piece) {
            let mut received = [&self.server.unfinished[..], piece].concat();
            let read = &mut self.read;
            let used = self
                .server
                .process(&mut received, |plaintext| read.extend_from_slice(plaintext))?;
            self.server.unfinished = received[used..].to_vec();
        }
        Ok(())
    }

    fn answer(&mut self, mut answer: &[u8]) -> io::Result<()> {
        while !answer.is_empty() {
            self.client.read_tls(&mut answer)?;
            self.client
                .process_new_packets()
                .map_err(io::Error::other)?;
        }
        Ok(())
    }
}

/// A record of each size, and the handshake's messages in records of 64 bytes.
#[test]
fn bytes_may_come_in_any_pieces() {
    let text: Vec<u8> = (0..50_000_u32).flat_map(u32::to_le_bytes).collect();
    for (fragment, piece) in [
        (None, 1),
        (Some(64), 1),
        (Some(64), 1000),
        (None, 4096),
        (None, usize::MAX),
    ] {
        let mut pair = Pair::new(fragment);
        pair.carry(piece).unwrap();
        assert!(!pair.server.tls.is_handshaking());
        for some in text.chunks(40_000) {
            pair.client.writer().write_all(some).unwrap();
            pair.carry(piece).unwrap();
        }
        assert!(pair.read == text, "{fragment:?} {piece}");

        // While a record is unfinished, the other direction goes on.
        pair.client.writer().write_all(b"unfinished").unwrap();
        let mut record = Vec::new();
        pair.client.write_tls(&mut record).unwrap();
        let (begin, end) = record.split_at(record.len() / 2);
        pair.feed(begin, piece).unwrap();
        let mut ciphertext = Vec::new();
        let n = pair
            .server
            .with_traffic(&mut ciphertext, |traffic, out| {
                traffic.encrypt(b"back", out)
            })
            .unwrap();
        pair.answer(&ciphertext[..n]).unwrap();
        let mut back = [0; 4];
        pair.client.reader().read_exact(&mut back).unwrap();
        assert_eq!(&back, b"back");
        pair.feed(end, piece).unwrap();
        assert!(pair.read.ends_with(b"unfinished"));
        assert_eq!(pair.server.unfinished.capacity(), 0);
    }
}

#[test]
fn a_damaged_record_is_an_error_that_the_peer_is_told() {
    let mut pair = Pair::new(None);
    pair.carry(usize::MAX).unwrap();
    pair.client.writer().write_all(b"hello").unwrap();
    let mut record = Vec::new();
    pair.client.write_tls(&mut record).unwrap();
    *record.last_mut().unwrap() ^= 1;
    let error = pair.feed(&record, usize::MAX).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::InvalidData);
    let alert = std::mem::take(&mut pair.server.unsent);
    let error = pair.answer(&alert).unwrap_err();
    assert!(error.to_string().contains("BadRecordMac"), "{error}");
}

#[test]
fn the_peers_goodbye_is_the_end_of_what_is_read_and_ours_is_said_once() {
    let mut pair = Pair::new(None);
    pair.carry(usize::MAX).unwrap();
    pair.client.send_close_notify();
    pair.carry(usize::MAX).unwrap();
    assert!(pair.server.peer_closed);
    pair.server.close().unwrap();
    let goodbye = pair.server.unsent.len();
    assert!(goodbye > 0);
    pair.server.close().unwrap();
    assert_eq!(pair.server.unsent.len(), goodbye);
}

proptest! {
    #[test]
    fn any_bytes_are_refused_or_waited_for(
        header in prop_oneof![Just(&b""[..]), Just(&[22, 3, 1, 0, 40][..]), Just(&[22, 3, 3, 64, 0][..])],
        bytes: Vec<u8>,
        piece in 1_usize..64,
    ) {
        let mut pair = Pair::new(None);
        // Whatever comes of it: no panic.
        let _ = pair.feed(&[header, &bytes].concat(), piece);
        let _ = pair.server.with_traffic(&mut Vec::new(), |traffic, out| traffic.encrypt(b"x", out));
    }
}

#[tokio::test]
async fn what_the_peer_does_not_take_is_bounded_and_comes_later() {
    let (server, client) = configs(None);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let connecting = async {
        let tcp = TcpStream::connect(address).await.unwrap();
        let connector = TlsConnector::from(client);
        connector.connect(name(), tcp).await.unwrap()
    };
    let accepting = async {
        let (tcp, _) = listener.accept().await.unwrap();
        TlsStream::accept(server, tcp).await.unwrap()
    };
    let (mut client, server) = tokio::join!(connecting, accepting);
    let tls = &server.0;
    {
        let state = tls.state.lock();
        let kept = [&state.unfinished, &state.unread, &state.unsent];
        assert!(kept.iter().all(|buffer| buffer.capacity() == 0));
    }

    let text = vec![b'x'; 100_000];
    let halves = [IoSlice::new(&text[..1]), IoSlice::new(&text[1..])];
    let mut written = 0;
    loop {
        match tls.try_write(&halves) {
            Ok(n) => written += n,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
            Err(error) => panic!("{error}"),
        }
    }
    assert!(tls.holds_back());
    assert!(tls.state.lock().unsent.len() < TAKE + 1024);
    let reading = async {
        let mut read = vec![0; written];
        client.read_exact(&mut read).await.unwrap();
        assert!(read.iter().all(|&byte| byte == b'x'));
    };
    let flushing = poll_fn(|cx| server.poll_flushed(cx));
    let (flushed, ()) = tokio::join!(flushing, reading);
    flushed.unwrap();
    assert!(!tls.holds_back());
    assert_eq!(tls.state.lock().unsent.capacity(), 0);

    client.write_all(b"and back").await.unwrap();
    tls.tcp.readable().await.unwrap();
    // The smallest reader gets the rest at once.
    let mut read = Vec::new();
    for _ in 0..8 {
        let mut byte = [0];
        let one = Read::Some {
            bytes: 1,
            more: true,
        };
        assert_eq!(tls.try_read(&mut byte).unwrap(), one);
        read.extend(byte);
    }
    assert_eq!(read, b"and back");
    assert_eq!(tls.try_read(&mut [0; 8]).unwrap(), Read::NOTHING);

    // A part of a record is nothing yet.
    let (tcp, connection) = client.get_mut();
    connection.writer().write_all(b"in two").unwrap();
    let mut record = Vec::new();
    connection.write_tls(&mut record).unwrap();
    let (begin, end) = record.split_at(7);
    tcp.write_all(begin).await.unwrap();
    tls.tcp.readable().await.unwrap();
    assert_eq!(tls.try_read(&mut [0; 8]).unwrap(), Read::NOTHING);
    tcp.write_all(end).await.unwrap();
    let mut read = [0; 8];
    let n = loop {
        tls.tcp.readable().await.unwrap();
        match tls.try_read(&mut read).unwrap() {
            Read::Some { bytes: 0, .. } => {}
            Read::Some { bytes, .. } => break bytes,
            Read::End => panic!("it goes on"),
        }
    };
    assert_eq!(&read[..n], b"in two");
}
