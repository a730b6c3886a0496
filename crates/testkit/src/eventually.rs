//! Waiting for a condition, instead of sleeping and hoping.

use std::time::Duration;

/// Checks again and again until the condition holds.
///
/// # Panics
/// If it does not hold within `deadline`; the message points to the caller.
#[track_caller]
pub fn eventually<F>(deadline: Duration, mut condition: F) -> impl Future<Output = ()>
where
    F: AsyncFnMut() -> bool,
{
    let caller = std::panic::Location::caller();
    async move {
        let check = async {
            while !condition().await {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        if tokio::time::timeout(deadline, check).await.is_err() {
            panic!("it did not become true within {deadline:?}, expected at {caller}");
        }
    }
}
