//! The JSON Web Key Set as a document: bytes in, keys by id out. No I/O.

use std::collections::HashMap;
use std::sync::Arc;

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::jws::Algorithm;
use crate::keys::{KeyError, PublicKey};

/// Most keys that a document may have.
const MAX_KEYS: usize = 100;

/// A published key, perhaps bound to one algorithm.
#[derive(Debug)]
pub(crate) struct PublishedKey {
    key: PublicKey,
    algorithm: Option<Algorithm>,
}

impl PublishedKey {
    /// Whether this key's owner made the signature, by an algorithm that the key
    /// may be used with.
    pub(crate) fn verify(&self, algorithm: Algorithm, signed: &[u8], signature: &[u8]) -> bool {
        self.algorithm.is_none_or(|bound| bound == algorithm)
            && self.key.verify(algorithm, signed, signature)
    }
}

/// Keys by their id.
pub(crate) type KeySet = HashMap<String, Arc<PublishedKey>>;

/// Reads a key set. Keys that are not for us (no id, another kind, another use)
/// are left out, as the standard asks; symmetric keys have no business in a
/// public document and are left out too.
pub(crate) fn parse(document: &[u8]) -> Result<KeySet, &'static str> {
    let document: Document<'_> =
        serde_json::from_slice(document).map_err(|_| "not a JSON Web Key Set")?;
    if document.keys.len() > MAX_KEYS {
        return Err("more than 100 keys");
    }
    let mut keys = KeySet::new();
    for raw in document.keys {
        let Ok(jwk) = serde_json::from_str::<Jwk>(raw.get()) else {
            continue;
        };
        match jwk.read() {
            Ok((kid, key)) => {
                keys.insert(kid, Arc::new(key));
            }
            Err(reason) => tracing::debug!(reason, "a published key is not used"),
        }
    }
    Ok(keys)
}

#[derive(Deserialize)]
struct Document<'a> {
    #[serde(borrow)]
    keys: Vec<&'a RawValue>,
}

#[derive(Deserialize)]
struct Jwk {
    kty: String,
    kid: Option<String>,
    #[serde(rename = "use")]
    usage: Option<String>,
    alg: Option<String>,
    n: Option<String>,
    e: Option<String>,
    crv: Option<String>,
    x: Option<String>,
    y: Option<String>,
}

impl Jwk {
    fn read(self) -> Result<(String, PublishedKey), KeyError> {
        let kid = self.kid.ok_or("no `kid`")?;
        if self.usage.is_some_and(|usage| usage != "sig") {
            return Err("not for signatures");
        }
        let algorithm = match self.alg {
            Some(name) => {
                Some(Algorithm::from_name(&name).ok_or("the algorithm is not supported")?)
            }
            None => None,
        };
        let number = |text: Option<String>| {
            let text = text.ok_or("a parameter of the key is missing")?;
            // Some providers pad, though the standard says not to.
            URL_SAFE_NO_PAD
                .decode(text.trim_end_matches('='))
                .map_err(|_| "a parameter of the key is not base64url")
        };
        let curve = self.crv.unwrap_or_default();
        let key = match self.kty.as_str() {
            "RSA" => PublicKey::rsa_from_components(&number(self.n)?, &number(self.e)?)?,
            "EC" => PublicKey::ecdsa_from_point(&curve, &number(self.x)?, &number(self.y)?)?,
            "OKP" if curve == "Ed25519" => PublicKey::ed25519_from_bytes(&number(self.x)?)?,
            _ => return Err("the kind of key is not supported"),
        };
        Ok((kid, PublishedKey { key, algorithm }))
    }
}
