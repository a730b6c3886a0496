//! Who may open a connection: origins, and limits that are checked before
//! anything is spent on a client.

use parking_lot::Mutex;

use crate::clock::Millis;

/// The origins that browsers may connect from.
#[derive(Debug)]
pub(crate) struct Origins {
    globs: Vec<String>,
}

impl Origins {
    /// Patterns such as `https://*.example.com`, or `*`.
    pub(crate) fn new(patterns: &[String]) -> Self {
        Self {
            globs: patterns
                .iter()
                .map(|one| one.to_ascii_lowercase())
                .collect(),
        }
    }

    /// Whether a request may connect. One without an origin does not come from a
    /// browser's page; the page that this host serves itself is always allowed.
    pub(crate) fn allow(&self, origin: Option<&[u8]>, host: Option<&[u8]>) -> bool {
        let Some(origin) = origin else {
            return true;
        };
        if !origin.is_ascii() {
            return false;
        }
        let origin = origin.to_ascii_lowercase();
        let authority = origin.windows(3).position(|three| three == b"://");
        let authority = authority.map(|at| &origin[at + 3..]);
        if host.is_some_and(|host| {
            authority.is_some_and(|authority| authority.eq_ignore_ascii_case(host))
        }) {
            return true;
        }
        self.globs
            .iter()
            .any(|glob| matches(glob.as_bytes(), &origin))
    }
}

/// Whether a text matches a pattern in which `*` stands for any text. Linear in
/// the text for each star.
pub(crate) fn matches(mut pattern: &[u8], mut text: &[u8]) -> bool {
    let mut retry: Option<(&[u8], &[u8])> = None;
    loop {
        match (pattern.split_first(), text.split_first()) {
            (None, None) => return true,
            (Some((b'*', rest)), _) => {
                retry = Some((rest, text));
                pattern = rest;
            }
            (Some((expected, rest)), Some((found, left)))
                if expected == found || *expected == b'?' =>
            {
                pattern = rest;
                text = left;
            }
            _ => {
                // Let the last star take one character more.
                let Some((after_star, from)) = retry else {
                    return false;
                };
                let Some((_, left)) = from.split_first() else {
                    return false;
                };
                retry = Some((after_star, left));
                pattern = after_star;
                text = left;
            }
        }
    }
}

/// How many connections, and how many new ones a second.
#[derive(Debug)]
pub(crate) struct Admission {
    most: i64,
    rate: f64,
    bucket: Mutex<Bucket>,
}

#[derive(Debug)]
struct Bucket {
    tokens: f64,
    at: Millis,
}

impl Admission {
    /// `connections` at most, `rate` new ones a second; 0: no limit.
    pub(crate) fn new(connections: usize, rate: u32) -> Self {
        let rate = f64::from(rate);
        Self {
            most: i64::try_from(connections).unwrap_or(i64::MAX),
            rate,
            bucket: Mutex::new(Bucket {
                tokens: rate,
                at: 0,
            }),
        }
    }

    /// Whether one more may come, when there are `open` already.
    pub(crate) fn admit(&self, open: i64, now: Millis) -> bool {
        if self.most > 0 && open >= self.most {
            return false;
        }
        if self.rate == 0.0 {
            return true;
        }
        let mut bucket = self.bucket.lock();
        #[expect(
            clippy::cast_precision_loss,
            reason = "milliseconds between two handshakes"
        )]
        let passed = now.saturating_sub(bucket.at) as f64 / 1000.0;
        bucket.at = now;
        bucket.tokens = (bucket.tokens + passed * self.rate).min(self.rate);
        if bucket.tokens < 1.0 {
            return false;
        }
        bucket.tokens -= 1.0;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allowed(patterns: &[&str], origin: Option<&'static str>, host: &'static str) -> bool {
        let patterns: Vec<_> = patterns.iter().map(|one| (*one).to_owned()).collect();
        Origins::new(&patterns).allow(origin.map(str::as_bytes), Some(host.as_bytes()))
    }

    #[test]
    fn browsers_connect_from_allowed_origins_only() {
        assert!(allowed(&[], None, "chat.example"), "not a browser");
        assert!(!allowed(&[], Some("https://evil.example"), "chat.example"));
        assert!(!allowed(&[], Some("null"), "chat.example"));
        assert!(
            allowed(&[], Some("https://Chat.example"), "chat.example"),
            "its own page"
        );
        assert!(
            !allowed(&[], Some("https://chat.example:8443"), "chat.example"),
            "another port"
        );
        assert!(allowed(&["*"], Some("https://any.example"), "chat.example"));
        assert!(allowed(
            &["https://*.example.com"],
            Some("https://a.example.com"),
            "h"
        ));
        assert!(!allowed(
            &["https://*.example.com"],
            Some("https://a.example.com.evil"),
            "h"
        ));
        assert!(!allowed(
            &["https://*.example.com"],
            Some("http://a.example.com"),
            "h"
        ));
    }

    #[test]
    fn stars_stand_for_any_text() {
        let check = |pattern: &str, text: &str| matches(pattern.as_bytes(), text.as_bytes());
        assert!(
            check("a*c*e", "abcde") && check("*", "") && check("**", "x") && check("a?c", "abc")
        );
        assert!(!check("a*c", "abd") && !check("", "a") && !check("a", ""));
    }

    #[test]
    fn a_rate_lets_a_burst_of_one_second_through() {
        let admission = Admission::new(0, 3);
        let admitted = |now| (0..5).filter(|_| admission.admit(0, now)).count();
        assert_eq!(admitted(1_000), 3);
        assert_eq!(admitted(1_000), 0);
        assert_eq!(admitted(1_700), 2);
        let limited = Admission::new(2, 0);
        assert!(limited.admit(1, 1) && !limited.admit(2, 1));
    }
}
