//! The service as its callers see it: over real gRPC, on both databases.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod channel;
mod faults;
mod groups;
mod messages;
mod notifications;
mod process;
mod reading;
mod rooms;
mod service;

/// Runs each test on both databases.
macro_rules! on_both_databases {
    ($($test:ident),* $(,)?) => {
        mod postgres {
            $(#[tokio::test]
            async fn $test() {
                super::$test(crate::service::TestService::postgres().await).await;
            })*
        }
        mod sqlite {
            $(#[tokio::test]
            async fn $test() {
                super::$test(crate::service::TestService::sqlite().await).await;
            })*
        }
    };
}
pub(crate) use on_both_databases;
