//! Tokens come from outside: whatever they are, the answer is an answer.

use auth::TokenVerifier;
use proptest::prelude::*;

use crate::support::{NOW, SECRET, Signer, hmac_verifier, hs256};

fn verify(verifier: &TokenVerifier, token: &str) {
    tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap()
        .block_on(async {
            let _ = verifier.verify_connection(token, NOW).await;
            let _ = verifier.verify_subscription(token, NOW).await;
        });
}

/// Any JSON, with the names of claims among its keys.
fn json() -> impl Strategy<Value = serde_json::Value> {
    let leaf = prop_oneof![
        Just(serde_json::Value::Null),
        any::<bool>().prop_map(Into::into),
        any::<i64>().prop_map(Into::into),
        any::<f64>().prop_map(Into::into),
        ".{0,12}".prop_map(Into::into),
    ];
    let name = prop_oneof![
        Just("sub"),
        Just("exp"),
        Just("nbf"),
        Just("aud"),
        Just("iss"),
        Just("info"),
        Just("b64info"),
        Just("subs"),
        Just("channels"),
        Just("channel"),
        Just("expire_at"),
        Just("meta"),
        Just("override"),
        Just("data"),
        Just("b64data"),
        Just("presence"),
        Just("value"),
        Just("other"),
    ];
    leaf.prop_recursive(4, 48, 6, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Into::into),
            prop::collection::vec((name.clone(), inner), 0..6).prop_map(|pairs| {
                pairs
                    .into_iter()
                    .map(|(name, value)| (name.to_owned(), value))
                    .collect::<serde_json::Map<_, _>>()
                    .into()
            }),
        ]
    })
}

proptest! {
    #[test]
    fn any_text_is_answered(token in ".{0,200}") {
        verify(&hmac_verifier(), &token);
    }

    #[test]
    fn any_three_parts_are_answered(
        header in "[A-Za-z0-9_-]{0,80}",
        payload in "[A-Za-z0-9_-]{0,80}",
        signature in "[A-Za-z0-9_-]{0,80}",
    ) {
        verify(&hmac_verifier(), &format!("{header}.{payload}.{signature}"));
    }

    #[test]
    fn any_signed_claims_are_answered(claims in json()) {
        verify(&hmac_verifier(), &hs256(&claims));
    }

    #[test]
    fn any_signed_text_is_answered(header in r#"\{"alg":"HS256".{0,40}"#, claims in ".{0,200}") {
        verify(&hmac_verifier(), &Signer::Hmac(SECRET).sign_text(&header, &claims));
    }
}

#[test]
fn nesting_does_not_reach_the_stack() {
    let deep = format!("{{\"info\":{}{}}}", "[".repeat(20_000), "]".repeat(20_000));
    let token = Signer::Hmac(SECRET).sign_text(r#"{"alg":"HS256"}"#, &deep);
    verify(&hmac_verifier(), &token);
    verify(&hmac_verifier(), &"a.".repeat(100_000));
}
