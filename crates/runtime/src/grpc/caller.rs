//! Who calls, as metadata says.

use std::fmt::Write as _;

use tonic::metadata::{MetadataMap, MetadataValue};
use tonic::{Request, Status};

/// Metadata key of the user for whom a call is made, percent-encoded.
pub const USER: &str = "fanfare-user";
/// Metadata key of the calling service.
pub const SERVICE: &str = "fanfare-service";
/// Metadata key of the shared key: `Bearer <key>`.
pub const AUTHORIZATION: &str = "authorization";

/// Longest user id that is accepted, decoded.
const MAX_USER_BYTES: usize = 1024;

/// Who makes a call. The server puts it into every request's extensions after
/// the shared key was checked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Caller {
    /// The user for whom the call is made; `None` for a service's own call and
    /// for an anonymous user.
    pub user: Option<String>,
    /// The service that makes the call.
    pub service: Option<String>,
}

impl Caller {
    /// Reads the metadata.
    ///
    /// # Errors
    /// `INVALID_ARGUMENT` for metadata that is malformed.
    pub fn from_metadata(metadata: &MetadataMap) -> Result<Self, Status> {
        Self::read(
            metadata.get(USER).map(MetadataValue::as_bytes),
            metadata.get(SERVICE).map(MetadataValue::as_bytes),
        )
    }

    pub(super) fn from_headers(headers: &http::HeaderMap) -> Result<Self, Status> {
        Self::read(
            headers.get(USER).map(http::HeaderValue::as_bytes),
            headers.get(SERVICE).map(http::HeaderValue::as_bytes),
        )
    }

    fn read(user: Option<&[u8]>, service: Option<&[u8]>) -> Result<Self, Status> {
        let user = user
            .filter(|user| !user.is_empty())
            .map(|user| {
                decode_user(user)
                    .ok_or_else(|| Status::invalid_argument("metadata fanfare-user is malformed"))
            })
            .transpose()?;
        let service = service
            .filter(|service| !service.is_empty())
            .map(|service| {
                std::str::from_utf8(service)
                    .map(str::to_owned)
                    .map_err(|_| Status::invalid_argument("metadata fanfare-service is malformed"))
            })
            .transpose()?;
        Ok(Self { user, service })
    }

    /// The caller of a request that came through [`super::serve`] or
    /// [`super::duplex_channel`]; otherwise nobody.
    pub fn of<T>(request: &Request<T>) -> Self {
        request
            .extensions()
            .get::<Self>()
            .cloned()
            .unwrap_or_default()
    }

    /// The user for whom the call is made.
    ///
    /// # Errors
    /// `UNAUTHENTICATED` if there is none.
    pub fn require_user(&self) -> Result<&str, Status> {
        self.user
            .as_deref()
            .ok_or_else(|| Status::unauthenticated("metadata fanfare-user is missing"))
    }

    /// Whether a service calls on its own behalf, not for a user.
    #[must_use]
    pub fn is_service(&self) -> bool {
        self.user.is_none() && self.service.is_some()
    }
}

/// A user id as it travels in metadata: all but unreserved ASCII is `%XX`.
#[must_use]
pub fn encode_user(user: &str) -> String {
    let mut text = String::with_capacity(user.len());
    for byte in user.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            text.push(char::from(byte));
        } else {
            let _ = write!(text, "%{byte:02X}");
        }
    }
    text
}

/// Reads what [`encode_user`] wrote; `None` if it is malformed or too long.
#[must_use]
pub fn decode_user(text: &[u8]) -> Option<String> {
    if text.len() > 3 * MAX_USER_BYTES {
        return None;
    }
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((&first, tail)) = rest.split_first() {
        if first == b'%' {
            let (digits, tail) = tail.split_at_checked(2)?;
            // `from_str_radix` would also take a sign.
            if !digits.iter().all(u8::is_ascii_hexdigit) {
                return None;
            }
            let digits = std::str::from_utf8(digits).ok()?;
            bytes.push(u8::from_str_radix(digits, 16).ok()?);
            rest = tail;
        } else {
            bytes.push(first);
            rest = tail;
        }
    }
    let user = String::from_utf8(bytes).ok()?;
    (user.len() <= MAX_USER_BYTES).then_some(user)
}
