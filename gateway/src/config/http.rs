//! Listeners and what they serve.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};

use base64::Engine as _;
use runtime::config::{Secret, Timespan};
use serde::{Deserialize, Serialize};

/// Section `http_server`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default)]
pub struct HttpServerConfig {
    /// The IP address to listen at; empty: all.
    pub address: String,
    /// The port.
    pub port: u16,
    /// The address of the internal port; empty: the same as `address`.
    pub internal_address: String,
    /// The server API, metrics and health move to this port; 0: they stay.
    pub internal_port: u16,
    /// TLS on the public port.
    pub tls: TlsConfig,
}

impl Default for HttpServerConfig {
    fn default() -> Self {
        Self {
            address: String::new(),
            port: 8000,
            internal_address: String::new(),
            internal_port: 0,
            tls: TlsConfig::default(),
        }
    }
}

impl HttpServerConfig {
    /// Where the public listener binds. All addresses means both families.
    ///
    /// # Errors
    /// The text is no IP address.
    pub fn public(&self) -> Result<SocketAddr, std::net::AddrParseError> {
        Ok(SocketAddr::new(ip(&self.address)?, self.port))
    }

    /// Where the internal listener binds, if it is a second one.
    ///
    /// # Errors
    /// The text is no IP address.
    pub fn internal(&self) -> Result<Option<SocketAddr>, std::net::AddrParseError> {
        if self.internal_port == 0 {
            return Ok(None);
        }
        let address = match &*self.internal_address {
            "" => &self.address,
            address => address,
        };
        let internal = SocketAddr::new(ip(address)?, self.internal_port);
        Ok((internal != self.public()?).then_some(internal))
    }
}

fn ip(text: &str) -> Result<IpAddr, std::net::AddrParseError> {
    match text {
        // The IPv6 wildcard also takes IPv4, but only exists where IPv6 does.
        "" if Path::new("/proc/net/if_inet6").exists() => Ok(Ipv6Addr::UNSPECIFIED.into()),
        "" => Ok(Ipv4Addr::UNSPECIFIED.into()),
        "localhost" => Ok(IpAddr::from([127, 0, 0, 1])),
        text => text.trim_start_matches('[').trim_end_matches(']').parse(),
    }
}

/// A section `tls`.
///
/// Certificates and keys are PEM text, base64 of it, or the path of a file; a
/// key that ends in `_file` is always a path and comes first.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct TlsConfig {
    /// Whether the port speaks TLS.
    pub enabled: bool,
    /// The certificate and its chain.
    pub cert_pem: String,
    /// The same, as a path.
    pub cert_pem_file: PathBuf,
    /// The private key.
    pub key_pem: Secret,
    /// The same, as a path.
    pub key_pem_file: PathBuf,
    /// If set, a client must present a certificate that one of these signed.
    pub client_ca_pem: String,
    /// The same, as a path.
    pub client_ca_pem_file: PathBuf,
}

impl TlsConfig {
    /// The certificate and its chain as PEM. Reads the file anew at every call.
    ///
    /// # Errors
    /// The file cannot be read, or the text is neither PEM nor base64.
    pub fn certificate(&self) -> io::Result<Vec<u8>> {
        read_pem(&self.cert_pem, &self.cert_pem_file)
    }

    /// The private key as PEM.
    ///
    /// # Errors
    /// As [`TlsConfig::certificate`].
    pub fn key(&self) -> io::Result<Vec<u8>> {
        read_pem(self.key_pem.expose(), &self.key_pem_file)
    }

    /// The authorities of clients' certificates as PEM, if clients need one.
    ///
    /// # Errors
    /// As [`TlsConfig::certificate`].
    pub fn client_ca(&self) -> io::Result<Option<Vec<u8>>> {
        if self.client_ca_pem.is_empty() && self.client_ca_pem_file.as_os_str().is_empty() {
            return Ok(None);
        }
        read_pem(&self.client_ca_pem, &self.client_ca_pem_file).map(Some)
    }

    /// The files that are read, for watching.
    pub fn files(&self) -> impl Iterator<Item = PathBuf> {
        let file = |text: &str, path: &PathBuf| {
            if !path.as_os_str().is_empty() {
                return Some(path.clone());
            }
            let path = PathBuf::from(text);
            (!text.is_empty() && path.is_file()).then_some(path)
        };
        [
            file(&self.cert_pem, &self.cert_pem_file),
            file(self.key_pem.expose(), &self.key_pem_file),
            file(&self.client_ca_pem, &self.client_ca_pem_file),
        ]
        .into_iter()
        .flatten()
    }
}

fn read_pem(text: &str, file: &PathBuf) -> io::Result<Vec<u8>> {
    if !file.as_os_str().is_empty() {
        return std::fs::read(file);
    }
    if text.contains("-----BEGIN") {
        return Ok(text.as_bytes().to_vec());
    }
    let compact: String = text.split_whitespace().collect();
    if let Ok(pem) = base64::engine::general_purpose::STANDARD.decode(compact)
        && pem.starts_with(b"-----BEGIN")
    {
        return Ok(pem);
    }
    std::fs::read(text)
}

/// Section `http_api`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default)]
pub struct HttpApiConfig {
    /// Whether there is no server API.
    pub disabled: bool,
    /// Where it is.
    pub handler_prefix: String,
    /// What a caller must present. Without a key every call is refused.
    pub key: Secret,
    /// How errors are told.
    pub error_mode: ErrorMode,
    /// With an internal port: it is on the public one too.
    pub external: bool,
    /// No key is asked for. Never in production.
    pub insecure: bool,
}

impl Default for HttpApiConfig {
    fn default() -> Self {
        Self {
            disabled: false,
            handler_prefix: "/api".to_owned(),
            key: Secret::default(),
            error_mode: ErrorMode::Response,
            external: false,
            insecure: false,
        }
    }
}

/// Values of `http_api.error_mode`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ErrorMode {
    /// With status 200, in the body.
    #[default]
    #[serde(rename = "")]
    Response,
    /// By the HTTP status.
    Transport,
}

/// Section `websocket`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default)]
pub struct WebSocketConfig {
    /// Whether there is no such endpoint.
    pub disabled: bool,
    /// Where it is.
    pub handler_prefix: String,
    /// Longest message of a client in bytes.
    pub message_size_limit: usize,
    /// A client that takes nothing for this long is closed.
    pub write_timeout: Timespan,
}

impl Default for WebSocketConfig {
    fn default() -> Self {
        Self {
            disabled: false,
            handler_prefix: "/connection/websocket".to_owned(),
            message_size_limit: 65_536,
            write_timeout: Timespan::from_secs(1),
        }
    }
}

/// Section `prometheus`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default)]
pub struct PrometheusConfig {
    /// Whether metrics are served.
    pub enabled: bool,
    /// Where.
    pub handler_prefix: String,
}

impl Default for PrometheusConfig {
    fn default() -> Self {
        Self {
            enabled: true,
            handler_prefix: "/metrics".to_owned(),
        }
    }
}

/// Section `health`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default)]
pub struct HealthConfig {
    /// Whether health is served.
    pub enabled: bool,
    /// Where; `/live` and `/ready` are below it.
    pub handler_prefix: String,
}

impl Default for HealthConfig {
    fn default() -> Self {
        Self {
            enabled: true,
            handler_prefix: "/health".to_owned(),
        }
    }
}

/// Section `web`.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct WebConfig {
    /// The folder of the web page that is served at `/`; empty: there is none.
    pub dir: PathBuf,
}
