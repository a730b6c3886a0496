//! One suite for logs in PostgreSQL and in SQLite, published through a broker.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod log;
mod log_service;
mod publisher;
mod store;

/// Runs each test on both stores.
macro_rules! on_both_stores {
    ($($test:ident),* $(,)?) => {
        mod postgres {
            $(#[tokio::test]
            async fn $test() {
                super::$test($crate::store::Store::postgres().await).await;
            })*
        }
        mod sqlite {
            $(#[tokio::test]
            async fn $test() {
                super::$test($crate::store::Store::sqlite().await).await;
            })*
        }
    };
}
pub(crate) use on_both_stores;
