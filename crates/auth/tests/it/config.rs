//! Configurations that cannot work are refused at start, without telling secrets.

use auth::{TokenConfig, TokenVerifier};
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{KeyPair, RsaKeyPair};
use serde_json::json;

use crate::support::{NOW, SECRET, Signer, pem, verifier};

#[test]
fn mistakes_are_named() {
    let none = TokenConfig::default;
    let rsa = Signer::rsa();
    for (key, config) in [
        (
            "rsa_public_key",
            TokenConfig {
                rsa_public_key: SECRET.into(),
                ..none()
            },
        ),
        (
            "rsa_public_key",
            TokenConfig {
                rsa_public_key: Signer::ecdsa("ES256").pem(),
                ..none()
            },
        ),
        (
            "rsa_public_key",
            TokenConfig {
                rsa_public_key: Signer::ed25519().pem(),
                ..none()
            },
        ),
        (
            "rsa_public_key",
            TokenConfig {
                rsa_public_key: pem("PRIVATE KEY", b"x"),
                ..none()
            },
        ),
        (
            "ecdsa_public_key",
            TokenConfig {
                ecdsa_public_key: rsa.pem(),
                ..none()
            },
        ),
        (
            "ecdsa_public_key",
            TokenConfig {
                ecdsa_public_key: pem("PUBLIC KEY", b"x"),
                ..none()
            },
        ),
        (
            "audience_regex",
            TokenConfig {
                audience_regex: "(".into(),
                ..none()
            },
        ),
        (
            "issuer_regex",
            TokenConfig {
                issuer_regex: "(".into(),
                ..none()
            },
        ),
        (
            "issuer_regex",
            TokenConfig {
                issuer_regex: "a".into(),
                issuer: "a".into(),
                ..none()
            },
        ),
        (
            "user_id_claim",
            TokenConfig {
                user_id_claim: "a..b".into(),
                ..none()
            },
        ),
        (
            "jwks_public_endpoint",
            TokenConfig {
                jwks_public_endpoint: "ftp://a/b".into(),
                ..none()
            },
        ),
        (
            "jwks_public_endpoint",
            TokenConfig {
                jwks_public_endpoint: "keys".into(),
                ..none()
            },
        ),
        (
            "jwks_public_endpoint",
            TokenConfig {
                jwks_public_endpoint: "http://u:p@a/".into(),
                ..none()
            },
        ),
        (
            "jwks_public_endpoint",
            TokenConfig {
                jwks_public_endpoint: "https://a/{{t}}".into(),
                ..none()
            },
        ),
    ] {
        let error = TokenVerifier::new(config).unwrap_err();
        assert_eq!(error.key, key);
        assert!(!error.to_string().contains(SECRET));
    }
}

#[tokio::test]
async fn an_rsa_key_may_be_in_pkcs_1() {
    let key = RsaKeyPair::generate(KeySize::Rsa2048).unwrap();
    let public = pem("RSA PUBLIC KEY", key.public_key().as_ref());
    let token = Signer::Rsa(key).sign("RS256", &json!({"sub": "42"}));
    let verifier = verifier(TokenConfig {
        rsa_public_key: public,
        ..TokenConfig::default()
    });
    assert!(verifier.verify_connection(&token, NOW).await.is_ok());
}

#[test]
fn debug_output_tells_no_secrets() {
    let config = TokenConfig {
        hmac_secret_key: SECRET.to_owned(),
        hmac_previous_secret_key: SECRET.to_owned(),
        issuer: "them".to_owned(),
        ..TokenConfig::default()
    };
    let text = format!("{config:?}");
    assert!(!text.contains(SECRET), "{text}");
    assert!(text.contains("them"), "{text}");
    let text = format!("{:?}", verifier(config));
    assert!(!text.contains(SECRET), "{text}");
}

#[test]
fn names_are_those_of_centrifugo_and_others_are_errors() {
    let config = json!({
        "hmac_secret_key": "a", "hmac_previous_secret_key": "b",
        "hmac_previous_secret_key_valid_until": 1, "rsa_public_key": "c",
        "ecdsa_public_key": "d", "jwks_public_endpoint": "e", "audience": "f",
        "audience_regex": "g", "issuer": "h", "issuer_regex": "i", "user_id_claim": "j",
    });
    let config: TokenConfig = serde_json::from_value(config).unwrap();
    assert_eq!(config.hmac_secret_key, "a");
    assert_eq!(config.user_id_claim, "j");
    assert!(serde_json::from_value::<TokenConfig>(json!({"hmac_key": ""})).is_err());
}
