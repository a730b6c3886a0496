//! Payloads in the server API: raw JSON, or bytes in base64 beside it.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde_json::value::RawValue;

use super::ApiError;

/// The bytes of `name` or of `b64name`, the latter preferred; empty if neither is
/// given.
pub(super) fn bytes(raw: Option<&RawValue>, base64: &str, name: &str) -> Result<Bytes, ApiError> {
    if !base64.is_empty() {
        let decoded = STANDARD.decode(base64);
        return decoded
            .map(Bytes::from)
            .map_err(|_| ApiError::bad_request(format!("b64{name} is not base64")));
    }
    Ok(raw.map_or_else(Bytes::new, |raw| {
        Bytes::copy_from_slice(raw.get().as_bytes())
    }))
}

/// A payload as it is answered: itself if it is JSON; otherwise in the second
/// place, as base64.
pub(super) fn shown(data: &[u8]) -> (Option<Box<RawValue>>, Option<String>) {
    if data.is_empty() {
        return (None, None);
    }
    let text = std::str::from_utf8(data)
        .ok()
        .filter(|text| wire::is_json(text.as_bytes()));
    match text.and_then(|text| RawValue::from_string(text.to_owned()).ok()) {
        Some(raw) => (Some(raw), None),
        None => (None, Some(STANDARD.encode(data))),
    }
}
