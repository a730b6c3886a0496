//! The signed envelope: three parts, a header, an algorithm. No keys, no claims.

use std::borrow::Cow;

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::Deserialize;
use serde::de::IgnoredAny;

use crate::TokenError;

/// Longest token that is looked at, in bytes.
const MAX_TOKEN_LEN: usize = 64 * 1024;

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
    /// Takes a token apart. Costs two small allocations.
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
        let signature = URL_SAFE_NO_PAD
            .decode(signature)
            .map_err(|_| TokenError::invalid("the signature is not base64url"))?;
        Ok(Self {
            algorithm,
            kid: header.kid,
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

#[derive(Deserialize)]
struct Header<'a> {
    #[serde(borrow)]
    alg: Cow<'a, str>,
    kid: Option<String>,
    crit: Option<IgnoredAny>,
}
