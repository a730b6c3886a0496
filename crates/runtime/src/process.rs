//! Limits of this process.

use rustix::process::{Resource, getrlimit, setrlimit};

/// Raises the number of files that this process may open to what the system
/// permits, and returns the limit that now holds; `None` is "unlimited".
///
/// Every connection is an open file, and the usual soft limit of 1,024 is there
/// for old programs that use `select`. If raising fails, the old limit stays.
pub fn raise_nofile_limit() -> Option<u64> {
    let mut limit = getrlimit(Resource::Nofile);
    if limit.current != limit.maximum {
        limit.current = limit.maximum;
        // Refused in some sandboxes; the returned value then tells the truth.
        let _ = setrlimit(Resource::Nofile, limit);
    }
    getrlimit(Resource::Nofile).current
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_soft_limit_reaches_the_hard_one() {
        let raised = raise_nofile_limit();
        assert_eq!(raised, getrlimit(Resource::Nofile).maximum);
    }
}
