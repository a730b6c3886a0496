//! Fetching a key set over HTTP: one bounded GET, no redirects, no reuse of
//! connections. It happens about once an hour.

use std::fmt;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCEPT, HOST, USER_AGENT};
use http::{Request, StatusCode, Uri};
use http_body_util::{BodyExt, Empty, Limited};
use hyper::client::conn::http1;
use hyper::rt::{Read, Write};
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::Error;

/// For one attempt, from the look-up of the name to the last byte.
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(1);
const ATTEMPTS: usize = 2;
/// Largest document, in bytes.
const MAX_BODY_LEN: usize = 256 * 1024;

const CONFIG_KEY: &str = "jwks_public_endpoint";

/// Where the key set is, and how to get there.
pub(super) struct Endpoint {
    host: String,
    port: u16,
    request: Request<Empty<Bytes>>,
    tls: Option<(TlsConnector, ServerName<'static>)>,
}

impl Endpoint {
    pub(super) fn new(address: &str) -> Result<Self, Error> {
        let reject = |reason: &str| Error::new(CONFIG_KEY, reason);
        if address.contains("{{") {
            return Err(reject("placeholders are not supported"));
        }
        let uri: Uri = address
            .parse()
            .map_err(|_| reject("not an address (http:// or https://)"))?;
        let secure = match uri.scheme_str() {
            Some("https") => true,
            Some("http") => false,
            _ => return Err(reject("not an address (http:// or https://)")),
        };
        let authority = uri.authority().ok_or(reject("the address has no host"))?;
        if authority.as_str().contains('@') {
            return Err(reject("credentials in the address are not supported"));
        }
        let host = uri.host().ok_or(reject("the address has no host"))?;
        // A literal IPv6 address is in brackets, for the `Host` header only.
        let host = host.trim_start_matches('[').trim_end_matches(']');
        let path = uri.path_and_query().map_or("/", |path| path.as_str());
        let request = Request::get(path)
            .header(HOST, authority.as_str())
            .header(ACCEPT, "application/json")
            .header(USER_AGENT, concat!("fanfare/", env!("CARGO_PKG_VERSION")))
            .body(Empty::new())
            .map_err(|_| reject("the address has characters that HTTP cannot carry"))?;
        let tls = if secure {
            let name = ServerName::try_from(host.to_owned())
                .map_err(|_| reject("the host is not a name that a certificate can have"))?;
            Some((TlsConnector::from(Arc::new(trust_of_the_system()?)), name))
        } else {
            None
        };
        Ok(Self {
            host: host.to_owned(),
            port: uri.port_u16().unwrap_or(if secure { 443 } else { 80 }),
            request,
            tls,
        })
    }

    /// Gets the document. Tries twice, each within a second.
    pub(super) async fn fetch(&self) -> Result<Bytes, FetchError> {
        let mut attempt = 1;
        loop {
            let result = tokio::time::timeout(ATTEMPT_TIMEOUT, self.attempt())
                .await
                .unwrap_or(Err(FetchError::Timeout));
            match result {
                Err(_) if attempt < ATTEMPTS => attempt += 1,
                result => return result,
            }
        }
    }

    async fn attempt(&self) -> Result<Bytes, FetchError> {
        let stream = TcpStream::connect((self.host.as_str(), self.port)).await?;
        match &self.tls {
            Some((connector, name)) => {
                let stream = connector.connect(name.clone(), stream).await?;
                self.exchange(TokioIo::new(stream)).await
            }
            None => self.exchange(TokioIo::new(stream)).await,
        }
    }

    async fn exchange<I: Read + Write + Unpin>(&self, io: I) -> Result<Bytes, FetchError> {
        let (mut sender, connection) = http1::handshake(io).await?;
        let exchange = async {
            let response = sender.send_request(self.request.clone()).await?;
            if response.status() != StatusCode::OK {
                return Err(FetchError::Status(response.status()));
            }
            let body = Limited::new(response.into_body(), MAX_BODY_LEN);
            match body.collect().await {
                Ok(body) => Ok(body.to_bytes()),
                Err(error) => Err(FetchError::Body(error)),
            }
        };
        // The connection makes progress only while it is polled. When it ends
        // first, what it has received still waits in the exchange.
        let mut exchange = pin!(exchange);
        tokio::select! {
            result = &mut exchange => result,
            _ = connection => exchange.await,
        }
    }
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Not the path: some providers put a tenant's secret there.
        f.debug_struct("Endpoint")
            .field("host", &self.host)
            .field("port", &self.port)
            .finish_non_exhaustive()
    }
}

/// Why a document was not received.
#[derive(Debug, thiserror::Error)]
pub(super) enum FetchError {
    #[error("no answer within a second")]
    Timeout,
    #[error("no connection")]
    Connect(#[from] std::io::Error),
    #[error("no valid HTTP")]
    Http(#[from] hyper::Error),
    #[error("the answer is {0}")]
    Status(StatusCode),
    #[error("the answer is cut off or longer than 262144 bytes")]
    Body(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// The certificate authorities that the machine trusts, `SSL_CERT_FILE` and
/// `SSL_CERT_DIR` included, so that a company's own authority works.
fn trust_of_the_system() -> Result<ClientConfig, Error> {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if roots.is_empty() {
        return Err(Error::new(
            CONFIG_KEY,
            "the system has no certificate authorities for https (package `ca-certificates`, or SSL_CERT_FILE)",
        ));
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| Error::new(CONFIG_KEY, error.to_string()))?;
    Ok(builder.with_root_certificates(roots).with_no_client_auth())
}
