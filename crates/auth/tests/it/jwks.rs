//! Keys from an identity provider: a real HTTP server on a free port.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use auth::{TokenConfig, TokenError, TokenVerifier};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Mutex, Notify};

use crate::support::{NOW, SECRET, Signer, hs256, verifier};

/// A key set on the network, with the answer to be given next.
struct Provider {
    address: String,
    answer: Arc<Mutex<String>>,
    n_requests: Arc<AtomicUsize>,
    /// Told when a request has arrived.
    asked: Arc<Notify>,
}

impl Provider {
    async fn spawn(keys: &[Value]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let provider = Self {
            address: format!("http://{}/keys?tenant=1", listener.local_addr().unwrap()),
            answer: Arc::new(Mutex::new(ok(&json!({"keys": keys}).to_string()))),
            n_requests: Arc::default(),
            asked: Arc::default(),
        };
        let answer = Arc::clone(&provider.answer);
        let n_requests = Arc::clone(&provider.n_requests);
        let asked = Arc::clone(&provider.asked);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let answer = Arc::clone(&answer);
                let n_requests = Arc::clone(&n_requests);
                let asked = Arc::clone(&asked);
                tokio::spawn(async move {
                    let mut stream = stream;
                    let request = read_request(&mut stream).await;
                    assert!(
                        request.starts_with("GET /keys?tenant=1 HTTP/1.1\r\n"),
                        "{request}"
                    );
                    assert!(request.contains("\r\nhost: 127.0.0.1:"), "{request}");
                    n_requests.fetch_add(1, Ordering::SeqCst);
                    asked.notify_one();
                    // Held by a test that wants the answer to be late.
                    let answer = answer.lock().await.clone();
                    let _ = stream.write_all(answer.as_bytes()).await;
                });
            }
        });
        provider
    }

    fn verifier(&self) -> TokenVerifier {
        verifier(TokenConfig {
            jwks_public_endpoint: self.address.clone(),
            // Not consulted: the published keys are the only source.
            hmac_secret_key: SECRET.to_owned(),
            ..TokenConfig::default()
        })
    }

    fn n_requests(&self) -> usize {
        self.n_requests.load(Ordering::SeqCst)
    }
}

fn ok(body: &str) -> String {
    let len = body.len();
    format!("HTTP/1.1 200 OK\r\ncontent-length: {len}\r\nconnection: close\r\n\r\n{body}")
}

async fn read_request(stream: &mut TcpStream) -> String {
    let mut request = Vec::new();
    while !request.ends_with(b"\r\n\r\n") {
        request.push(stream.read_u8().await.unwrap());
    }
    String::from_utf8(request).unwrap()
}

fn token(signer: &Signer, algorithm: &str, kid: &str) -> String {
    signer.sign_with(
        &json!({"alg": algorithm, "kid": kid}),
        &json!({"sub": "42"}),
    )
}

#[tokio::test]
async fn every_kind_of_published_key_verifies() {
    let signers = [
        ("RS256", Signer::rsa()),
        ("RS512", Signer::rsa()),
        ("ES256", Signer::ecdsa("ES256")),
        ("ES384", Signer::ecdsa("ES384")),
        ("ES512", Signer::ecdsa("ES512")),
        ("EdDSA", Signer::ed25519()),
    ];
    let keys: Vec<_> = signers
        .iter()
        .map(|(name, signer)| signer.jwk(name))
        .collect();
    let provider = Provider::spawn(&keys).await;
    let verifier = provider.verifier();
    for (name, signer) in &signers {
        let claims = verifier
            .verify_connection(&token(signer, name, name), NOW)
            .await;
        assert_eq!(claims.expect(name).user, "42");
        // Another's key.
        let other = if *name == "EdDSA" { "RS256" } else { "EdDSA" };
        let result = verifier
            .verify_connection(&token(signer, name, other), NOW)
            .await;
        assert!(matches!(result, Err(TokenError::Invalid(_))), "{name}");
    }
    assert_eq!(provider.n_requests(), 1, "one fetch serves all");
}

#[tokio::test]
async fn other_sources_of_keys_are_closed() {
    let secret = Signer::Hmac(SECRET);
    let rsa = Signer::rsa();
    let mut for_encryption = rsa.jwk("enc");
    for_encryption["use"] = json!("enc");
    let mut for_rs512 = rsa.jwk("rs512");
    for_rs512["alg"] = json!("RS512");
    let unreadable = json!({"kty": "RSA", "kid": "unreadable", "n": "*", "e": "AQAB"});
    let small = json!({"kty": "RSA", "kid": "small", "n": "qqqqqqqqqqqq", "e": "AQAB"});
    let nonsense = json!(7);
    let provider = Provider::spawn(&[
        secret.jwk("secret"),
        for_encryption,
        for_rs512,
        unreadable,
        small,
        nonsense,
    ])
    .await;
    let verifier = provider.verifier();
    verifier
        .verify_connection(&token(&rsa, "RS512", "rs512"), NOW)
        .await
        .unwrap();
    for token in [hs256(&json!({"sub": "42"})), token(&rsa, "RS256", "rs512")] {
        let result = verifier.verify_connection(&token, NOW).await;
        assert!(matches!(result, Err(TokenError::Invalid(_))), "{result:?}");
    }
    // Not in the set as far as we are concerned; and the set is fresh.
    for token in [
        token(&secret, "HS256", "secret"),
        token(&rsa, "RS256", "enc"),
        token(&rsa, "RS256", "unreadable"),
        token(&rsa, "RS256", "small"),
    ] {
        let result = verifier.verify_connection(&token, NOW).await;
        assert!(
            matches!(result, Err(TokenError::Unavailable(_))),
            "{result:?}"
        );
    }
    assert_eq!(provider.n_requests(), 1);
}

#[tokio::test]
async fn a_key_that_is_not_published_is_invalid() {
    let provider = Provider::spawn(&[Signer::rsa().jwk("a")]).await;
    let unknown = token(&Signer::rsa(), "RS256", "b");
    let result = provider.verifier().verify_connection(&unknown, NOW).await;
    assert!(matches!(result, Err(TokenError::Invalid(_))), "{result:?}");
}

#[tokio::test]
async fn a_storm_of_tokens_makes_one_fetch() {
    let signer = Signer::ed25519();
    let provider = Provider::spawn(&[signer.jwk("a")]).await;
    let verifier = Arc::new(provider.verifier());
    let token = token(&signer, "EdDSA", "a");
    let tasks: Vec<_> = (0..100)
        .map(|_| {
            let (verifier, token) = (Arc::clone(&verifier), token.clone());
            tokio::spawn(async move { verifier.verify_connection(&token, NOW).await })
        })
        .collect();
    for task in tasks {
        assert_eq!(task.await.unwrap().unwrap().user, "42");
    }
    assert_eq!(provider.n_requests(), 1);
}

#[tokio::test]
async fn a_client_that_leaves_does_not_take_the_fetch_with_it() {
    let signer = Signer::ed25519();
    let provider = Provider::spawn(&[signer.jwk("a")]).await;
    let verifier = Arc::new(provider.verifier());
    let token = token(&signer, "EdDSA", "a");

    let answer = provider.answer.lock().await;
    let leaver = tokio::spawn({
        let (verifier, token) = (Arc::clone(&verifier), token.clone());
        async move { verifier.verify_connection(&token, NOW).await }
    });
    provider.asked.notified().await;
    leaver.abort();
    assert!(leaver.await.unwrap_err().is_cancelled());
    drop(answer);

    assert!(verifier.verify_connection(&token, NOW).await.is_ok());
    assert_eq!(provider.n_requests(), 1);
}

#[tokio::test]
async fn bad_answers_are_unavailable_and_not_asked_for_again_at_once() {
    let signer = Signer::ed25519();
    let token = token(&signer, "EdDSA", "a");
    let many: Vec<_> = (0..101).map(|_| json!({"kty": "RSA"})).collect();
    for (answer, n_attempts) in [
        // What does not arrive is tried twice, what arrives is taken as it is.
        ("HTTP/1.1 503 No\r\ncontent-length: 0\r\n\r\n".to_owned(), 2),
        (
            "HTTP/1.1 302 Elsewhere\r\nlocation: /\r\ncontent-length: 0\r\n\r\n".to_owned(),
            2,
        ),
        ("SSH-2.0\r\n\r\n".to_owned(), 2),
        (
            "HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n{".to_owned(),
            2,
        ),
        (ok(&" ".repeat(256 * 1024 + 1)), 2),
        (ok("<html>"), 1),
        (ok(r#"{"keys":{}}"#), 1),
        (ok(&json!({"keys": many}).to_string()), 1),
    ] {
        let provider = Provider::spawn(&[]).await;
        *provider.answer.lock().await = answer.clone();
        let verifier = provider.verifier();
        for _ in 0..3 {
            let result = verifier.verify_connection(&token, NOW).await;
            assert!(
                matches!(result, Err(TokenError::Unavailable(_))),
                "{answer}: {result:?}"
            );
        }
        assert_eq!(provider.n_requests(), n_attempts, "{answer}");
    }
}

#[tokio::test]
async fn a_provider_that_is_not_there_is_unavailable() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}/", listener.local_addr().unwrap());
    drop(listener);
    let verifier = verifier(TokenConfig {
        jwks_public_endpoint: address,
        ..TokenConfig::default()
    });
    let token = token(&Signer::ed25519(), "EdDSA", "a");
    let result = verifier.verify_connection(&token, NOW).await;
    assert!(
        matches!(result, Err(TokenError::Unavailable(_))),
        "{result:?}"
    );
}

#[tokio::test]
async fn a_silent_provider_is_given_up() {
    let provider = Provider::spawn(&[]).await;
    let _held = provider.answer.lock().await;
    let token = token(&Signer::ed25519(), "EdDSA", "a");
    let result = provider.verifier().verify_connection(&token, NOW).await;
    assert_eq!(
        result,
        Err(TokenError::Unavailable("no answer within a second".into()))
    );
    assert_eq!(provider.n_requests(), 2);
}
