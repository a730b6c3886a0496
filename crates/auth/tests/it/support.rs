//! Keys made for the test, and tokens signed with them.

use aws_lc_rs::encoding::{AsDer, PublicKeyX509Der};
use aws_lc_rs::hmac;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING,
    ECDSA_P521_SHA512_FIXED_SIGNING, EcdsaKeyPair, EcdsaSigningAlgorithm, Ed25519KeyPair, KeyPair,
    RSA_PKCS1_SHA256, RSA_PKCS1_SHA384, RSA_PKCS1_SHA512, RsaEncoding, RsaKeyPair,
};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::{Value, json};

use auth::{TokenConfig, TokenVerifier};

pub(crate) const SECRET: &str = "a secret for tests";
/// The time in these tests, in Unix seconds.
pub(crate) const NOW: i64 = 1_800_000_000;

/// Something that signs, by one or several algorithms.
pub(crate) enum Signer {
    Hmac(&'static str),
    Rsa(RsaKeyPair),
    Ecdsa(EcdsaKeyPair),
    Ed25519(Ed25519KeyPair),
}

impl Signer {
    pub(crate) fn rsa() -> Self {
        Self::Rsa(RsaKeyPair::generate(KeySize::Rsa2048).unwrap())
    }

    pub(crate) fn ecdsa(algorithm: &str) -> Self {
        let signing: &EcdsaSigningAlgorithm = match algorithm {
            "ES256" => &ECDSA_P256_SHA256_FIXED_SIGNING,
            "ES384" => &ECDSA_P384_SHA384_FIXED_SIGNING,
            _ => &ECDSA_P521_SHA512_FIXED_SIGNING,
        };
        Self::Ecdsa(EcdsaKeyPair::generate(signing).unwrap())
    }

    pub(crate) fn ed25519() -> Self {
        Self::Ed25519(Ed25519KeyPair::generate().unwrap())
    }

    pub(crate) fn sign(&self, algorithm: &str, claims: &Value) -> String {
        self.sign_with(&json!({"alg": algorithm, "typ": "JWT"}), claims)
    }

    pub(crate) fn sign_with(&self, header: &Value, claims: &Value) -> String {
        self.sign_text(&header.to_string(), &claims.to_string())
    }

    pub(crate) fn sign_text(&self, header: &str, claims: &str) -> String {
        let algorithm = serde_json::from_str::<Value>(header)
            .ok()
            .and_then(|header| header["alg"].as_str().map(str::to_owned))
            .unwrap_or_default();
        let signed = format!(
            "{}.{}",
            URL_SAFE_NO_PAD.encode(header),
            URL_SAFE_NO_PAD.encode(claims)
        );
        let random = SystemRandom::new();
        let message = signed.as_bytes();
        let signature = match self {
            Self::Hmac(secret) => {
                let algorithm = match algorithm.as_str() {
                    "HS384" => hmac::HMAC_SHA384,
                    "HS512" => hmac::HMAC_SHA512,
                    _ => hmac::HMAC_SHA256,
                };
                let key = hmac::Key::new(algorithm, secret.as_bytes());
                hmac::sign(&key, message).as_ref().to_vec()
            }
            Self::Rsa(key) => {
                let padding: &dyn RsaEncoding = match algorithm.as_str() {
                    "RS384" => &RSA_PKCS1_SHA384,
                    "RS512" => &RSA_PKCS1_SHA512,
                    _ => &RSA_PKCS1_SHA256,
                };
                let mut signature = vec![0; key.public_modulus_len()];
                key.sign(padding, &random, message, &mut signature).unwrap();
                signature
            }
            Self::Ecdsa(key) => key.sign(&random, message).unwrap().as_ref().to_vec(),
            Self::Ed25519(key) => key.sign(message).as_ref().to_vec(),
        };
        format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))
    }

    /// The public key as `PUBLIC KEY` in PEM.
    pub(crate) fn pem(&self) -> String {
        let der: PublicKeyX509Der<'_> = match self {
            Self::Rsa(key) => key.public_key().as_der(),
            Self::Ecdsa(key) => key.public_key().as_der(),
            Self::Ed25519(key) => key.public_key().as_der(),
            Self::Hmac(_) => panic!("a secret has no public key"),
        }
        .unwrap();
        pem("PUBLIC KEY", der.as_ref())
    }

    /// The configuration that accepts this signer's tokens.
    pub(crate) fn config(&self) -> TokenConfig {
        match self {
            Self::Hmac(secret) => TokenConfig {
                hmac_secret_key: (*secret).to_owned(),
                ..TokenConfig::default()
            },
            Self::Rsa(_) => TokenConfig {
                rsa_public_key: self.pem(),
                ..TokenConfig::default()
            },
            Self::Ecdsa(_) => TokenConfig {
                ecdsa_public_key: self.pem(),
                ..TokenConfig::default()
            },
            Self::Ed25519(_) => panic!("Ed25519 comes by JWKS only"),
        }
    }

    /// The public key as it is published.
    pub(crate) fn jwk(&self, kid: &str) -> Value {
        let encode = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        match self {
            Self::Rsa(key) => {
                // PKCS #1: two headers of four bytes and a zero, the modulus of 2048
                // bits, a header of two bytes, the exponent.
                let der = key.public_key().as_ref();
                json!({
                    "kty": "RSA", "kid": kid, "use": "sig",
                    "n": encode(&der[9..265]), "e": encode(&der[267..]),
                })
            }
            Self::Ecdsa(key) => {
                let point = &key.public_key().as_ref()[1..];
                let (x, y) = point.split_at(point.len() / 2);
                let curve = match x.len() {
                    32 => "P-256",
                    48 => "P-384",
                    _ => "P-521",
                };
                json!({"kty": "EC", "kid": kid, "crv": curve, "x": encode(x), "y": encode(y)})
            }
            Self::Ed25519(key) => {
                let x = encode(key.public_key().as_ref());
                json!({"kty": "OKP", "kid": kid, "crv": "Ed25519", "alg": "EdDSA", "x": x})
            }
            Self::Hmac(secret) => {
                json!({"kty": "oct", "kid": kid, "alg": "HS256", "k": encode(secret.as_bytes())})
            }
        }
    }
}

pub(crate) fn pem(label: &str, der: &[u8]) -> String {
    let body = STANDARD.encode(der);
    let lines: Vec<_> = body
        .as_bytes()
        .chunks(64)
        .map(|line| std::str::from_utf8(line).unwrap())
        .collect();
    format!(
        "-----BEGIN {label}-----\n{}\n-----END {label}-----\n",
        lines.join("\n")
    )
}

pub(crate) fn verifier(config: TokenConfig) -> TokenVerifier {
    TokenVerifier::new(config).unwrap()
}

/// A verifier for tokens that `hs256` makes.
pub(crate) fn hmac_verifier() -> TokenVerifier {
    verifier(Signer::Hmac(SECRET).config())
}

pub(crate) fn hs256(claims: &Value) -> String {
    Signer::Hmac(SECRET).sign("HS256", claims)
}
