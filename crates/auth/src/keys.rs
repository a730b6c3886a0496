//! Keys that verify signatures, prepared once so that a token costs no parsing of keys.

use std::fmt;

use aws_lc_rs::hmac;
use aws_lc_rs::rsa::PublicKey as PublicKeyDer;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P384_SHA384_FIXED, ECDSA_P521_SHA512_FIXED, ED25519,
    ParsedPublicKey, RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_2048_8192_SHA384,
    RSA_PKCS1_2048_8192_SHA512, RsaParameters, RsaPublicKeyComponents,
};
use base64::{Engine, engine::general_purpose::STANDARD};

use crate::jws::Algorithm;

/// A shared secret, ready for the three HMAC algorithms.
pub(crate) struct HmacKey {
    sha256: hmac::Key,
    sha384: hmac::Key,
    sha512: hmac::Key,
}

impl HmacKey {
    pub(crate) fn new(secret: &[u8]) -> Self {
        Self {
            sha256: hmac::Key::new(hmac::HMAC_SHA256, secret),
            sha384: hmac::Key::new(hmac::HMAC_SHA384, secret),
            sha512: hmac::Key::new(hmac::HMAC_SHA512, secret),
        }
    }

    /// Whether this secret made the signature; false for other kinds of
    /// algorithms. The comparison takes constant time.
    pub(crate) fn verify(&self, algorithm: Algorithm, signed: &[u8], signature: &[u8]) -> bool {
        let key = match algorithm {
            Algorithm::Hs256 => &self.sha256,
            Algorithm::Hs384 => &self.sha384,
            Algorithm::Hs512 => &self.sha512,
            _ => return false,
        };
        hmac::verify(key, signed, signature).is_ok()
    }
}

/// A public key, bound to the algorithms that it may be used with.
pub(crate) enum PublicKey {
    /// For SHA-256, SHA-384 and SHA-512.
    Rsa(Box<[ParsedPublicKey; 3]>),
    /// The curve belongs to one algorithm.
    Ecdsa(Algorithm, ParsedPublicKey),
    Ed25519(ParsedPublicKey),
}

/// The key is not one that we can use; says why.
pub(crate) type KeyError = &'static str;

const RSA_SIZES: std::ops::RangeInclusive<usize> = 2048..=8192;
const BAD_RSA_SIZE: KeyError = "an RSA key must have 2048 to 8192 bits";

impl PublicKey {
    /// An RSA key in PEM: `PUBLIC KEY` (SPKI) or `RSA PUBLIC KEY` (PKCS #1).
    pub(crate) fn rsa_from_pem(pem: &str) -> Result<Self, KeyError> {
        let der = decode_pem(pem, &["PUBLIC KEY", "RSA PUBLIC KEY"])?;
        let parse = |parameters: &'static RsaParameters| {
            ParsedPublicKey::new(parameters, &der).map_err(|_| "not an RSA public key")
        };
        let sha256 = parse(&RSA_PKCS1_2048_8192_SHA256)?;
        // The size is asked of the bare key, whichever of the two forms was given.
        let bare = PublicKeyDer::from_der(&der).map_err(|_| "not an RSA public key")?;
        let bits = RsaParameters::public_modulus_len(bare.as_ref())
            .map_err(|_| "not an RSA public key")?;
        if !usize::try_from(bits).is_ok_and(|bits| RSA_SIZES.contains(&bits)) {
            return Err(BAD_RSA_SIZE);
        }
        Ok(Self::Rsa(Box::new([
            sha256,
            parse(&RSA_PKCS1_2048_8192_SHA384)?,
            parse(&RSA_PKCS1_2048_8192_SHA512)?,
        ])))
    }

    /// An RSA key from its big-endian modulus and exponent.
    pub(crate) fn rsa_from_components(n: &[u8], e: &[u8]) -> Result<Self, KeyError> {
        let n = strip_leading_zeros(n);
        let e = strip_leading_zeros(e);
        let bits = n.first().map_or(0, |first| {
            n.len() * 8 - usize::try_from(first.leading_zeros()).unwrap_or(0)
        });
        if !RSA_SIZES.contains(&bits) {
            return Err(BAD_RSA_SIZE);
        }
        let parse = |parameters: &'static RsaParameters| {
            RsaPublicKeyComponents { n, e }
                .to_parsed_public_key(parameters)
                .map_err(|_| "not an RSA public key")
        };
        Ok(Self::Rsa(Box::new([
            parse(&RSA_PKCS1_2048_8192_SHA256)?,
            parse(&RSA_PKCS1_2048_8192_SHA384)?,
            parse(&RSA_PKCS1_2048_8192_SHA512)?,
        ])))
    }

    /// An ECDSA key in PEM: `PUBLIC KEY` (SPKI) on P-256, P-384 or P-521.
    pub(crate) fn ecdsa_from_pem(pem: &str) -> Result<Self, KeyError> {
        let der = decode_pem(pem, &["PUBLIC KEY"])?;
        [Algorithm::Es256, Algorithm::Es384, Algorithm::Es512]
            .into_iter()
            .find_map(|algorithm| Self::ecdsa(algorithm, &der).ok())
            .ok_or("not an ECDSA public key on P-256, P-384 or P-521")
    }

    /// An ECDSA key from the name of its curve and its big-endian coordinates.
    pub(crate) fn ecdsa_from_point(curve: &str, x: &[u8], y: &[u8]) -> Result<Self, KeyError> {
        let (algorithm, len) = match curve {
            "P-256" => (Algorithm::Es256, 32),
            "P-384" => (Algorithm::Es384, 48),
            "P-521" => (Algorithm::Es512, 66),
            _ => return Err("the curve is not P-256, P-384 or P-521"),
        };
        let mut point = vec![4]; // uncompressed, SEC 1
        for coordinate in [x, y] {
            let coordinate = strip_leading_zeros(coordinate);
            let padding = len - coordinate.len().min(len);
            point.resize(point.len() + padding, 0);
            point.extend_from_slice(coordinate);
        }
        if point.len() != 1 + 2 * len {
            return Err("the coordinates do not fit the curve");
        }
        Self::ecdsa(algorithm, &point)
    }

    fn ecdsa(algorithm: Algorithm, key: &[u8]) -> Result<Self, KeyError> {
        let verification = match algorithm {
            Algorithm::Es256 => &ECDSA_P256_SHA256_FIXED,
            Algorithm::Es384 => &ECDSA_P384_SHA384_FIXED,
            _ => &ECDSA_P521_SHA512_FIXED,
        };
        ParsedPublicKey::new(verification, key)
            .map(|key| Self::Ecdsa(algorithm, key))
            .map_err(|_| "not a point on the curve")
    }

    /// An Ed25519 key from its 32 bytes.
    pub(crate) fn ed25519_from_bytes(key: &[u8]) -> Result<Self, KeyError> {
        if key.len() != 32 {
            return Err("an Ed25519 key has 32 bytes");
        }
        ParsedPublicKey::new(&ED25519, key)
            .map(Self::Ed25519)
            .map_err(|_| "not an Ed25519 key")
    }

    /// Whether this key's owner made the signature; false for algorithms that
    /// are not this key's.
    pub(crate) fn verify(&self, algorithm: Algorithm, signed: &[u8], signature: &[u8]) -> bool {
        let key = match (self, algorithm) {
            (Self::Rsa(keys), Algorithm::Rs256) => &keys[0],
            (Self::Rsa(keys), Algorithm::Rs384) => &keys[1],
            (Self::Rsa(keys), Algorithm::Rs512) => &keys[2],
            (Self::Ecdsa(of_curve, key), _) if *of_curve == algorithm => key,
            (Self::Ed25519(key), Algorithm::EdDsa) => key,
            _ => return false,
        };
        key.verify_sig(signed, signature).is_ok()
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Rsa(_) => "Rsa",
            Self::Ecdsa(..) => "Ecdsa",
            Self::Ed25519(_) => "Ed25519",
        })
    }
}

fn strip_leading_zeros(number: &[u8]) -> &[u8] {
    let zeros = number.iter().take_while(|byte| **byte == 0).count();
    &number[zeros..]
}

/// The bytes of the first PEM block, whose label must be one of those given.
fn decode_pem(text: &str, labels: &[&str]) -> Result<Vec<u8>, KeyError> {
    let (_, text) = text.split_once("-----BEGIN ").ok_or("not PEM")?;
    let (label, text) = text.split_once("-----").ok_or("not PEM")?;
    if !labels.contains(&label) {
        return Err("the PEM block is not a public key");
    }
    let (body, _) = text.split_once("-----END ").ok_or("not PEM")?;
    let body: String = body.split_ascii_whitespace().collect();
    STANDARD.decode(body).map_err(|_| "not PEM")
}
