//! The signed envelope: three parts, a header, an algorithm. No keys, no claims.

use std::borrow::Cow;

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::Deserialize;
use serde::de::IgnoredAny;

use crate::TokenError;

/// Longest token that is looked at, in bytes.
const MAX_TOKEN_LEN: usize = 64 * 1024;

/// The headers that nearly all libraries write for a token signed with a shared
/// secret: `{"alg":"HS256","typ":"JWT"}` and the other way round. Known by sight,
/// they need no decoding.
const USUAL_HEADERS: [&str; 2] = [
    "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9",
    "eyJ0eXAiOiJKV1QiLCJhbGciOiJIUzI1NiJ9",
];

/// A signature algorithm of JSON Web Algorithms (RFC 7518, RFC 8037) that we verify.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Algorithm {
    Hs256,
    Hs384,
    Hs512,
    Rs256,
    Rs384,
    Rs512,
    Es256,
    Es384,
    Es512,
    EdDsa,
}

impl Algorithm {
    pub(crate) fn from_name(name: &str) -> Option<Self> {
        Some(match name {
            "HS256" => Self::Hs256,
            "HS384" => Self::Hs384,
            "HS512" => Self::Hs512,
            "RS256" => Self::Rs256,
            "RS384" => Self::Rs384,
            "RS512" => Self::Rs512,
            "ES256" => Self::Es256,
            "ES384" => Self::Es384,
            "ES512" => Self::Es512,
            "EdDSA" => Self::EdDsa,
            _ => return None,
        })
    }
}

/// A token taken apart, its signature not yet verified.
pub(crate) struct Jws<'a> {
    pub(crate) algorithm: Algorithm,
    /// The key's id, if the header names one.
    pub(crate) kid: Option<String>,
    /// What the signature covers.
    pub(crate) signed: &'a [u8],
    pub(crate) signature: Vec<u8>,
    payload: &'a str,
}

impl<'a> Jws<'a> {
    /// Takes a token apart. Costs an allocation, or two for an unusual header.
    pub(crate) fn parse(token: &'a str) -> Result<Self, TokenError> {
        if token.len() > MAX_TOKEN_LEN {
            return Err(TokenError::invalid("longer than 65536 bytes"));
        }
        let not_three = TokenError::invalid("not three parts");
        let Some((signed, signature)) = token.rsplit_once('.') else {
            return Err(not_three);
        };
        let Some((header, payload)) = signed.split_once('.') else {
            return Err(not_three);
        };
        if payload.contains('.') {
            return Err(not_three);
        }
        let (algorithm, kid) = if USUAL_HEADERS.contains(&header) {
            (Algorithm::Hs256, None)
        } else {
            parse_header(header)?
        };
        let signature = URL_SAFE_NO_PAD
            .decode(signature)
            .map_err(|_| TokenError::invalid("the signature is not base64url"))?;
        Ok(Self {
            algorithm,
            kid,
            signed: signed.as_bytes(),
            signature,
            payload,
        })
    }

    /// The claims as JSON text. To be called once the signature is verified.
    pub(crate) fn decode_payload(&self) -> Result<Vec<u8>, TokenError> {
        URL_SAFE_NO_PAD
            .decode(self.payload)
            .map_err(|_| TokenError::invalid("the payload is not base64url"))
    }
}

fn parse_header(header: &str) -> Result<(Algorithm, Option<String>), TokenError> {
    let header = URL_SAFE_NO_PAD
        .decode(header)
        .map_err(|_| TokenError::invalid("the header is not base64url"))?;
    let header: Header<'_> = serde_json::from_slice(&header)
        .map_err(|_| TokenError::invalid("the header is not a JSON object with `alg`"))?;
    if header.crit.is_some() {
        // RFC 7515: extensions that must be understood, and we know none.
        return Err(TokenError::invalid("the header has critical extensions"));
    }
    let algorithm = Algorithm::from_name(&header.alg)
        .ok_or(TokenError::invalid("the algorithm is not supported"))?;
    Ok((algorithm, header.kid))
}

#[derive(Deserialize)]
struct Header<'a> {
    #[serde(borrow)]
    alg: Cow<'a, str>,
    kid: Option<String>,
    crit: Option<IgnoredAny>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn usual_headers_say_what_they_are_taken_for() {
        for header in USUAL_HEADERS {
            assert_eq!(parse_header(header), Ok((Algorithm::Hs256, None)));
        }
    }
}
