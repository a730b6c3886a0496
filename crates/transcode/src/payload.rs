//! Payloads: JSON as clients write it, Protobuf as services read it.

use bytes::Bytes;
use prost::Message as _;
use prost_reflect::{DeserializeOptions, DynamicMessage, MessageDescriptor, SerializeOptions};

use crate::CallError;

/// How a client speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PayloadFormat {
    /// Payloads are JSON.
    Json,
    /// Payloads are encoded messages, or JSON if they begin with `{`: no message
    /// in proto3 does (it would be a group), so one look tells them apart.
    Protobuf,
}

impl PayloadFormat {
    /// How this payload is written, which is also how its answer will be.
    pub(crate) fn of_payload(self, payload: &[u8]) -> Self {
        match self {
            Self::Protobuf if payload.first() != Some(&b'{') => Self::Protobuf,
            Self::Protobuf | Self::Json => Self::Json,
        }
    }
}

/// The encoded request of a payload.
pub(crate) fn request(
    payload: &Bytes,
    format: PayloadFormat,
    descriptor: &MessageDescriptor,
) -> Result<Bytes, CallError> {
    match format {
        PayloadFormat::Protobuf => {
            // Decoded to see that it is one; sent as it is.
            DynamicMessage::decode(descriptor.clone(), payload.clone())
                .map_err(CallError::bad_request)?;
            Ok(payload.clone())
        }
        // Nothing, or null, is the request with no field set.
        PayloadFormat::Json if matches!(payload.trim_ascii(), b"" | b"null") => Ok(Bytes::new()),
        PayloadFormat::Json => {
            let mut json = serde_json::Deserializer::from_slice(payload);
            let options = DeserializeOptions::new().deny_unknown_fields(true);
            let message =
                DynamicMessage::deserialize_with_options(descriptor.clone(), &mut json, &options)
                    .map_err(CallError::bad_request)?;
            json.end().map_err(CallError::bad_request)?;
            let encoded = Bytes::from(message.encode_to_vec());
            if may_be_nested_deeply(payload) {
                DynamicMessage::decode(descriptor.clone(), encoded.clone())
                    .map_err(CallError::bad_request)?;
            }
            Ok(encoded)
        }
    }
}

/// Whether JSON is nested so deeply that a service might refuse to decode it,
/// which would look like the service's failure. Decoders allow 100 messages in
/// one another, and a level of JSON is up to three (in `google.protobuf.Struct`).
/// Also true for some texts that contain many brackets.
fn may_be_nested_deeply(json: &[u8]) -> bool {
    const HARMLESS: usize = 30;
    let mut depth: usize = 0;
    let mut deepest = 0;
    for byte in json {
        match byte {
            b'[' | b'{' => depth += 1,
            b']' | b'}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        deepest = deepest.max(depth);
    }
    deepest > HARMLESS
}

/// The payload of an encoded response.
pub(crate) fn response(
    encoded: Bytes,
    format: PayloadFormat,
    descriptor: &MessageDescriptor,
) -> Result<Bytes, CallError> {
    if format == PayloadFormat::Protobuf {
        return Ok(encoded);
    }
    let unreadable = |error: &dyn std::fmt::Display| {
        tracing::error!(message = descriptor.full_name(), %error, "a service's answer is not its descriptor's");
        CallError::internal()
    };
    let message =
        DynamicMessage::decode(descriptor.clone(), encoded).map_err(|error| unreadable(&error))?;
    let mut json = Vec::new();
    let options = SerializeOptions::new()
        .use_proto_field_name(true)
        .stringify_64_bit_integers(false);
    let mut serializer = serde_json::Serializer::new(&mut json);
    message
        .serialize_with_options(&mut serializer, &options)
        .map_err(|error| unreadable(&error))?;
    Ok(json.into())
}
