//! Every algorithm verifies with its own key and with no other.

use auth::{TokenConfig, TokenError, sign_hs256};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::json;

use crate::support::{NOW, SECRET, Signer, hmac_verifier, hs256, verifier};

fn signers() -> Vec<(&'static str, Signer)> {
    let mut signers = Vec::new();
    for name in ["HS256", "HS384", "HS512"] {
        signers.push((name, Signer::Hmac(SECRET)));
    }
    for name in ["RS256", "RS384", "RS512"] {
        signers.push((name, Signer::rsa()));
    }
    for name in ["ES256", "ES384", "ES512"] {
        signers.push((name, Signer::ecdsa(name)));
    }
    signers
}

fn is_invalid<T>(result: &Result<T, TokenError>) -> bool {
    matches!(result, Err(TokenError::Invalid(_)))
}

#[tokio::test]
async fn each_algorithm_verifies_with_its_own_key_only() {
    let signers = signers();
    for (i, (name, signer)) in signers.iter().enumerate() {
        let verifier = verifier(signer.config());
        for (j, (other_name, other)) in signers.iter().enumerate() {
            let token = other.sign(other_name, &json!({"sub": "42"}));
            let result = verifier.verify_connection(&token, NOW).await;
            let both_hmac = name.starts_with("HS") && other_name.starts_with("HS");
            if i == j || both_hmac {
                assert_eq!(result.expect(name).user, "42");
            } else {
                assert!(is_invalid(&result), "{name} accepted {other_name}");
            }
        }
    }
}

#[tokio::test]
async fn one_rsa_key_serves_all_three_hashes() {
    let signer = Signer::rsa();
    let verifier = verifier(signer.config());
    for name in ["RS256", "RS384", "RS512"] {
        let token = signer.sign(name, &json!({"sub": "42"}));
        verifier.verify_connection(&token, NOW).await.expect(name);
    }
}

#[tokio::test]
async fn all_kinds_of_keys_work_side_by_side() {
    let (rsa, ecdsa) = (Signer::rsa(), Signer::ecdsa("ES384"));
    let verifier = verifier(TokenConfig {
        hmac_secret_key: SECRET.to_owned(),
        rsa_public_key: rsa.pem(),
        ecdsa_public_key: ecdsa.pem(),
        ..TokenConfig::default()
    });
    for token in [
        hs256(&json!({})),
        rsa.sign("RS512", &json!({})),
        ecdsa.sign("ES384", &json!({})),
    ] {
        verifier.verify_connection(&token, NOW).await.unwrap();
    }
}

#[tokio::test]
async fn the_header_cannot_talk_us_into_another_algorithm() {
    let rsa = Signer::rsa();
    let public_pem: &'static str = rsa.pem().leak();
    let verifier = verifier(rsa.config());

    // The public key, which everybody has, used as a shared secret.
    let token = Signer::Hmac(public_pem).sign("HS256", &json!({"sub": "admin"}));
    assert!(is_invalid(&verifier.verify_connection(&token, NOW).await));

    // No signature at all.
    for name in ["none", "None", "NONE", ""] {
        let header = URL_SAFE_NO_PAD.encode(json!({"alg": name}).to_string());
        let token = format!("{header}.{}.", URL_SAFE_NO_PAD.encode("{}"));
        assert!(is_invalid(&verifier.verify_connection(&token, NOW).await));
    }

    // A signature of the same key by another hash than the header says.
    let token = rsa.sign("RS256", &json!({}));
    let (_, rest) = token.split_once('.').unwrap();
    let header = URL_SAFE_NO_PAD.encode(r#"{"alg":"RS512"}"#);
    let token = format!("{header}.{rest}");
    assert!(is_invalid(&verifier.verify_connection(&token, NOW).await));
}

#[tokio::test]
async fn a_changed_token_is_invalid() {
    let verifier = hmac_verifier();
    let token = hs256(&json!({"sub": "42"}));
    let parts: Vec<_> = token.split('.').collect();
    let forged = URL_SAFE_NO_PAD.encode(r#"{"sub":"43"}"#);
    for changed in [
        format!("{}.{forged}.{}", parts[0], parts[2]),
        format!("{}.{}.", parts[0], parts[1]),
        format!("{}.{}", parts[0], parts[1]),
        format!("{token}.{}", parts[2]),
        format!("{}.{}.{}", parts[0], parts[1], &parts[2][..20]),
        format!("{token}=="),
        String::new(),
    ] {
        assert!(
            is_invalid(&verifier.verify_connection(&changed, NOW).await),
            "{changed}"
        );
    }
    let token = Signer::Hmac("another secret").sign("HS256", &json!({"sub": "42"}));
    assert!(is_invalid(&verifier.verify_connection(&token, NOW).await));
}

#[tokio::test]
async fn without_keys_nothing_is_accepted() {
    let verifier = verifier(TokenConfig::default());
    assert!(is_invalid(
        &verifier.verify_connection(&hs256(&json!({})), NOW).await
    ));
    // In particular not what is signed with the empty secret.
    let token = Signer::Hmac("").sign("HS256", &json!({}));
    assert!(is_invalid(&verifier.verify_connection(&token, NOW).await));
}

#[tokio::test]
async fn extensions_that_must_be_understood_are_refused() {
    let header = json!({"alg": "HS256", "crit": ["b64"], "b64": false});
    let token = Signer::Hmac(SECRET).sign_with(&header, &json!({}));
    assert!(is_invalid(
        &hmac_verifier().verify_connection(&token, NOW).await
    ));
}

#[tokio::test]
async fn the_previous_secret_is_accepted_until_its_time() {
    let config = TokenConfig {
        hmac_secret_key: "new".to_owned(),
        hmac_previous_secret_key: SECRET.to_owned(),
        hmac_previous_secret_key_valid_until: NOW,
        ..TokenConfig::default()
    };
    let unlimited = TokenConfig {
        hmac_previous_secret_key_valid_until: 0,
        ..config.clone()
    };
    let token = hs256(&json!({"sub": "42"}));
    let rotating = verifier(config);
    assert!(rotating.verify_connection(&token, NOW - 1).await.is_ok());
    assert!(is_invalid(&rotating.verify_connection(&token, NOW).await));
    assert!(
        verifier(unlimited)
            .verify_connection(&token, NOW)
            .await
            .is_ok()
    );
    let token = Signer::Hmac("new").sign("HS512", &json!({}));
    assert!(rotating.verify_connection(&token, NOW).await.is_ok());
}

#[tokio::test]
async fn what_we_sign_we_accept() {
    let token = sign_hs256(SECRET, &json!({"sub": "42", "exp": NOW + 60}));
    let claims = hmac_verifier()
        .verify_connection(&token, NOW)
        .await
        .unwrap();
    assert_eq!(claims.user, "42");
    assert_eq!(claims.expire_at, Some(NOW + 60));
}
