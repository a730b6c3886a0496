//! How long the verification of an HS256 token takes.
//!
//! `cargo run --release -p auth --example verify_speed`

use std::future::Future;
use std::hint::black_box;
use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::time::Instant;

use auth::{TokenConfig, TokenVerifier, sign_hs256};
use serde_json::json;

const N: u32 = 500_000;

#[expect(clippy::print_stdout, reason = "it is what the example is for")]
fn main() -> Result<(), auth::Error> {
    let verifier = TokenVerifier::new(TokenConfig {
        hmac_secret_key: "secret".to_owned(),
        ..TokenConfig::default()
    })?;
    for claims in [
        json!({"sub": "42", "exp": 2_000_000_000}),
        json!({"sub": "42", "exp": 2_000_000_000, "iat": 1_700_000_000, "iss": "https://example.com",
            "info": {"name": "Ada Lovelace", "avatar": "https://example.com/a.png"},
            "channels": ["news", "room:1"]}),
    ] {
        let token = sign_hs256("secret", &claims);
        let start = Instant::now();
        for _ in 0..N {
            let verification = pin!(verifier.verify_connection(black_box(&token), 1_800_000_000));
            let Poll::Ready(result) = verification.poll(&mut Context::from_waker(Waker::noop()))
            else {
                unreachable!("configured keys never wait");
            };
            assert!(black_box(result).is_ok(), "a good token");
        }
        let each = start.elapsed() / N;
        println!("{} bytes: {each:?}", token.len());
    }
    Ok(())
}
