//! Named points at which a test lets the process die.
//!
//! With the feature `fault-points`, a process started with
//! `FANFARE_TEST_FAULT=<name>` aborts when it reaches [`point`] with that name, as if
//! killed with -9. Without the feature nothing of this is compiled.

/// Ends the process here if the test asked for it.
#[inline]
pub fn point(name: &str) {
    #[cfg(feature = "fault-points")]
    if std::env::var("FANFARE_TEST_FAULT").is_ok_and(|wanted| wanted == name) {
        tracing::error!(
            fault.point = name,
            "the process ends here, as the test asked"
        );
        std::process::abort();
    }
    #[cfg(not(feature = "fault-points"))]
    let _ = name;
}
