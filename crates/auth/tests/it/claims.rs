//! What the claims mean, and what is refused.

use auth::{ConnectionClaims, Overrides, SubscriptionClaims, TokenConfig, TokenError};
use serde_json::{Value, json};

use crate::support::{NOW, SECRET, Signer, hmac_verifier, hs256, verifier};

async fn connection(claims: Value) -> Result<ConnectionClaims, TokenError> {
    let (verifier, token) = (hmac_verifier(), hs256(&claims));
    let verified = verifier.verify_connection(&token, NOW).await;
    let at_once = verifier.verify_connection_at_once(&token, NOW);
    assert_eq!(at_once.as_ref(), Some(&verified));
    verified
}

#[test]
fn published_keys_are_waited_for() {
    let published = verifier(TokenConfig {
        jwks_public_endpoint: "http://127.0.0.1:1/".to_owned(),
        ..TokenConfig::default()
    });
    let token = hs256(&json!({}));
    assert_eq!(published.verify_connection_at_once(&token, NOW), None);
}

async fn subscription(claims: Value) -> Result<SubscriptionClaims, TokenError> {
    hmac_verifier()
        .verify_subscription(&hs256(&claims), NOW)
        .await
}

/// Signs claims as written, byte by byte.
fn written(claims: &str) -> String {
    Signer::Hmac(SECRET).sign_text(r#"{"alg":"HS256"}"#, claims)
}

#[tokio::test]
async fn an_empty_token_is_an_anonymous_user_for_ever() {
    assert_eq!(connection(json!({})).await, Ok(ConnectionClaims::default()));
    let nulls = json!({"sub": null, "exp": null, "info": null, "subs": null, "aud": null});
    assert_eq!(connection(nulls).await, Ok(ConnectionClaims::default()));
}

#[tokio::test]
async fn time_limits() {
    let expired = Err(TokenError::Expired);
    for (claims, expected) in [
        (json!({"exp": NOW + 1}), Ok(Some(NOW + 1))),
        (json!({"exp": NOW}), expired.clone()),
        (json!({"exp": NOW - 1}), expired.clone()),
        (json!({"exp": 0}), expired.clone()),
        (json!({"exp": -1}), expired.clone()),
        (json!({"exp": u64::MAX}), Ok(Some(i64::MAX))),
        // Some languages write a fraction.
        (json!({"exp": 1_800_000_001.75}), Ok(Some(NOW + 1))),
        (json!({"exp": 1_800_000_000.75}), expired.clone()),
        (json!({"nbf": NOW}), Ok(None)),
        (json!({"nbf": NOW + 1}), expired.clone()),
        // `expire_at` rules the connection, `exp` the acceptance of the token.
        (
            json!({"exp": NOW + 1, "expire_at": NOW + 9}),
            Ok(Some(NOW + 9)),
        ),
        (json!({"exp": NOW + 1, "expire_at": 0}), Ok(None)),
        (json!({"exp": NOW + 1, "expire_at": -1}), Ok(None)),
        (json!({"exp": NOW - 1, "expire_at": 0}), expired.clone()),
        (
            json!({"exp": NOW - 1, "expire_at": NOW + 9}),
            expired.clone(),
        ),
        (json!({"expire_at": NOW + 9}), Ok(Some(NOW + 9))),
        // Not refused here: the connection is expired, not the token (error 110).
        (json!({"expire_at": NOW - 9}), Ok(Some(NOW - 9))),
    ] {
        let result = connection(claims.clone()).await;
        assert_eq!(result.map(|claims| claims.expire_at), expected, "{claims}");

        let mut claims = claims;
        claims["channel"] = json!("news");
        let result = subscription(claims.clone()).await;
        assert_eq!(result.map(|claims| claims.expire_at), expected, "{claims}");
    }
}

#[tokio::test]
async fn a_forged_or_foreign_token_is_invalid_even_when_expired() {
    let forged = Signer::Hmac("another").sign("HS256", &json!({"exp": NOW - 1}));
    let result = hmac_verifier().verify_connection(&forged, NOW).await;
    assert!(matches!(result, Err(TokenError::Invalid(_))));

    let verifier = verifier(TokenConfig {
        audience: "us".to_owned(),
        ..Signer::Hmac(SECRET).config()
    });
    let foreign = hs256(&json!({"exp": NOW - 1, "aud": "them"}));
    let result = verifier.verify_connection(&foreign, NOW).await;
    assert!(matches!(result, Err(TokenError::Invalid(_))));
}

#[tokio::test]
async fn payloads_keep_their_bytes() {
    let token = written(
        r#"{"sub":"42","info": {"b" : 1,  "a":1.0, "b":"\u00e9"} ,"meta":[ 1e2 ],
            "subs":{"news":{"info":"x","data":{ "n": 10000000000000000000000 }}}}"#,
    );
    let claims = hmac_verifier()
        .verify_connection(&token, NOW)
        .await
        .unwrap();
    assert_eq!(
        claims.info.as_deref(),
        Some(br#"{"b" : 1,  "a":1.0, "b":"\u00e9"}"#.as_slice())
    );
    assert_eq!(claims.meta.as_deref(), Some(b"[ 1e2 ]".as_slice()));
    let news = &claims.subs["news"];
    assert_eq!(news.info.as_deref(), Some(br#""x""#.as_slice()));
    assert_eq!(
        news.data.as_deref(),
        Some(br#"{ "n": 10000000000000000000000 }"#.as_slice())
    );
}

#[tokio::test]
async fn base64_wins_over_json() {
    let claims = connection(json!({
        "info": {"a": 1}, "b64info": "AP8=",
        "subs": {"news": {"info": 1, "b64info": "AQ==", "data": 2, "b64data": "Ag=="}},
    }))
    .await
    .unwrap();
    assert_eq!(claims.info.as_deref(), Some([0, 255].as_slice()));
    assert_eq!(claims.subs["news"].info.as_deref(), Some([1].as_slice()));
    assert_eq!(claims.subs["news"].data.as_deref(), Some([2].as_slice()));

    let claims = connection(json!({"info": 1, "b64info": ""})).await.unwrap();
    assert_eq!(claims.info.as_deref(), Some(b"1".as_slice()));
}

#[tokio::test]
async fn server_side_subscriptions() {
    let channels = |claims: ConnectionClaims| claims.subs.into_keys().collect::<Vec<_>>();

    let claims = json!({"channels": ["b", "a", "b"]});
    assert_eq!(channels(connection(claims).await.unwrap()), ["a", "b"]);

    let claims = json!({"channels": ["a"], "subs": {"c": {}}});
    assert_eq!(channels(connection(claims).await.unwrap()), ["c"]);

    let claims = json!({"channels": ["a"], "subs": {}});
    assert_eq!(channels(connection(claims).await.unwrap()), ["a"]);

    let overrides = json!({
        "presence": {"value": true}, "join_leave": {"value": false},
        "force_recovery": {}, "force_positioning": null, "unknown": 1,
    });
    let expected = Overrides {
        presence: Some(true),
        join_leave: Some(false),
        force_push_join_leave: None,
        force_recovery: Some(false),
        force_positioning: None,
    };
    let claims = json!({"subs": {"c": {"override": overrides}}});
    let claims = connection(claims).await.unwrap();
    assert_eq!(claims.subs["c"].overrides, expected);

    let claims = json!({"channel": "c", "override": overrides});
    assert_eq!(subscription(claims).await.unwrap().overrides, expected);
}

#[tokio::test]
async fn the_two_kinds_of_tokens_do_not_mix() {
    let invalid = |result| matches!(result, Err(TokenError::Invalid(_)));
    assert!(invalid(
        connection(json!({"sub": "42", "channel": "news"}))
            .await
            .map(|_| ())
    ));
    assert!(invalid(
        subscription(json!({"sub": "42"})).await.map(|_| ())
    ));
    assert!(invalid(
        subscription(json!({"sub": "42", "channel": ""}))
            .await
            .map(|_| ())
    ));
    // Written by a language that writes zero values.
    connection(json!({"channel": ""})).await.unwrap();
}

#[tokio::test]
async fn a_subscription_token_is_for_one_channel_user_and_connection() {
    let claims = json!({
        "sub": "42", "channel": "$news", "client": "c1",
        "info": {"name": "Ada"}, "data": [1],
    });
    let claims = subscription(claims).await.unwrap();
    assert_eq!(
        claims.info.as_deref(),
        Some(br#"{"name":"Ada"}"#.as_slice())
    );
    assert_eq!(claims.data.as_deref(), Some(b"[1]".as_slice()));
    assert!(claims.is_for("$news", "42", "c1"));
    assert!(!claims.is_for("news", "42", "c1"));
    assert!(!claims.is_for("$news", "43", "c1"));
    assert!(!claims.is_for("$news", "42", "c2"));

    let claims = json!({"sub": "42", "channel": "$news"});
    assert!(
        subscription(claims)
            .await
            .unwrap()
            .is_for("$news", "42", "any")
    );
}

#[tokio::test]
async fn wrong_types_are_refused_and_not_quoted() {
    for claims in [
        json!({"sub": 42}),
        json!({"exp": "SENSITIVE"}),
        json!({"exp": true}),
        json!({"nbf": []}),
        json!({"iat": "SENSITIVE"}),
        json!({"jti": 1}),
        json!({"aud": 1}),
        json!({"aud": ["SENSITIVE", 1]}),
        json!({"iss": ["SENSITIVE"]}),
        json!({"expire_at": "SENSITIVE"}),
        json!({"channels": "SENSITIVE"}),
        json!({"channels": [1]}),
        json!({"subs": ["SENSITIVE"]}),
        json!({"subs": {"a": "SENSITIVE"}}),
        json!({"subs": {"a": {"override": {"presence": true}}}}),
        json!({"subs": {"a": {"override": {"presence": {"value": "SENSITIVE"}}}}}),
        json!({"subs": {"a": {"b64info": "*"}}}),
        json!({"subs": {"a": {"b64data": 1}}}),
        json!({"b64info": "*"}),
        json!({"b64info": 1}),
        json!({"channel": 1}),
        json!(["SENSITIVE"]),
        json!("SENSITIVE"),
        json!(null),
    ] {
        let Err(TokenError::Invalid(reason)) = connection(claims.clone()).await else {
            panic!("accepted {claims}");
        };
        assert!(!reason.contains("SENSITIVE"), "{reason}");
    }
    for claims in [
        json!({"channel": "a", "client": 1}),
        json!({"channel": "a", "b64data": "*"}),
        json!({"channel": "a", "override": true}),
        json!({"channel": ["a"]}),
        json!({"channel": "a", "sub": {}}),
    ] {
        let result = subscription(claims.clone()).await;
        assert!(matches!(result, Err(TokenError::Invalid(_))), "{claims}");
    }
    for text in [r#"{"sub":"1","sub":"2"}"#, r#"{"sub":"1""#, "", "{} {}"] {
        let result = hmac_verifier().verify_connection(&written(text), NOW).await;
        assert!(matches!(result, Err(TokenError::Invalid(_))), "{text}");
    }
}

#[tokio::test]
async fn claims_of_others_are_none_of_our_business() {
    let claims = json!({"sub": "42", "client": {"id": 1}, "data": 1, "realm_access": {}});
    assert_eq!(connection(claims).await.unwrap().user, "42");
}

#[tokio::test]
async fn audience_and_issuer() {
    let hmac = || Signer::Hmac(SECRET).config();
    let exact = || TokenConfig {
        audience: "us".to_owned(),
        issuer: "them".to_owned(),
        ..hmac()
    };
    let matching = || TokenConfig {
        audience_regex: "^app-[a-z]+$".to_owned(),
        issuer_regex: "example".to_owned(),
        ..hmac()
    };
    for (config, claims, accepted) in [
        (exact(), json!({"aud": "us", "iss": "them"}), true),
        (exact(), json!({"aud": ["x", "us"], "iss": "them"}), true),
        (exact(), json!({"aud": "us"}), false),
        (exact(), json!({"iss": "them"}), false),
        (exact(), json!({"aud": "us2", "iss": "them"}), false),
        (exact(), json!({"aud": [], "iss": "them"}), false),
        (
            matching(),
            json!({"aud": "app-a", "iss": "https://example.com"}),
            true,
        ),
        (
            matching(),
            json!({"aud": ["x", "app-b"], "iss": "example"}),
            true,
        ),
        (matching(), json!({"aud": "app-1", "iss": "example"}), false),
        (
            matching(),
            json!({"aud": "app-a", "iss": "elsewhere"}),
            false,
        ),
        (matching(), json!({}), false),
    ] {
        let result = verifier(config)
            .verify_connection(&hs256(&claims), NOW)
            .await;
        assert_eq!(result.is_ok(), accepted, "{claims}");
    }
}

#[tokio::test]
async fn the_user_may_be_in_another_claim() {
    let by = |path: &str| {
        verifier(TokenConfig {
            user_id_claim: path.to_owned(),
            ..Signer::Hmac(SECRET).config()
        })
    };
    let user = async |path: &str, claims: Value| {
        by(path)
            .verify_connection(&hs256(&claims), NOW)
            .await
            .map(|claims| claims.user)
            .ok()
    };
    let claims = json!({
        "sub": "not me", "uid": "42", "number": 7, "profile": {"id": "nested"},
        "a.b": "dotted", "flag": true, "half": 1.5,
    });
    for (path, expected) in [
        ("uid", Some("42")),
        ("number", Some("7")),
        ("profile.id", Some("nested")),
        (r"a\.b", Some("dotted")),
        // Absent is anonymous, as with `sub`; never the claim that was not asked for.
        ("absent", Some("")),
        ("uid.id", Some("")),
        ("flag", None),
        ("half", None),
        ("profile", None),
    ] {
        assert_eq!(
            user(path, claims.clone()).await.as_deref(),
            expected,
            "{path}"
        );
    }
    let token = hs256(&json!({"sub": "not me", "uid": "42", "channel": "c"}));
    let claims = by("uid").verify_subscription(&token, NOW).await.unwrap();
    assert_eq!(claims.user, "42");
}
