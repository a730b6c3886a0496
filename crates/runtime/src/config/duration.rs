//! Durations as text: `25s`, `1m30s`, `720h`, `300ms`.
//!
//! A field is a [`Timespan`], or a [`std::time::Duration`] with
//! `#[serde(with = "runtime::config::duration")]`. Numbers without a unit are
//! refused, because nobody can tell seconds from nanoseconds by looking.

use std::fmt::{self, Write as _};
use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

const HOW: &str =
    "write a duration with its unit, such as \"25s\", \"1m30s\", \"300ms\" or \"720h\"";

/// Units from the longest to the shortest, in nanoseconds.
const UNITS: [(&str, u128); 7] = [
    ("h", 3_600_000_000_000),
    ("m", 60_000_000_000),
    ("s", 1_000_000_000),
    ("ms", 1_000_000),
    ("us", 1_000),
    ("µs", 1_000),
    ("ns", 1),
];

/// A duration in a configuration.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Timespan(#[serde(with = "self")] Duration);

impl Timespan {
    /// Nothing; for most keys "off".
    pub const ZERO: Self = Self(Duration::ZERO);

    /// So many seconds.
    #[must_use]
    pub const fn from_secs(n: u64) -> Self {
        Self(Duration::from_secs(n))
    }

    /// So many milliseconds.
    #[must_use]
    pub const fn from_millis(n: u64) -> Self {
        Self(Duration::from_millis(n))
    }

    /// As the standard library's type.
    #[must_use]
    pub const fn get(self) -> Duration {
        self.0
    }

    /// Whether it is nothing.
    #[must_use]
    pub const fn is_zero(self) -> bool {
        self.0.is_zero()
    }
}

impl From<Duration> for Timespan {
    fn from(duration: Duration) -> Self {
        Self(duration)
    }
}

impl fmt::Debug for Timespan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&format(self.0))
    }
}

impl fmt::Display for Timespan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&format(self.0))
    }
}

/// Reads `1h30m`, `1.5s`, `0`.
///
/// # Errors
/// A text that says how to write it.
pub fn parse(text: &str) -> Result<Duration, String> {
    let fail = || format!("invalid duration {text:?}: {HOW}");
    if text == "0" {
        return Ok(Duration::ZERO);
    }
    let mut total: u128 = 0;
    let mut rest = text;
    if rest.is_empty() {
        return Err(fail());
    }
    while !rest.is_empty() {
        let end = rest
            .find(|c: char| !c.is_ascii_digit() && c != '.')
            .ok_or_else(fail)?;
        let (number, tail) = rest.split_at(end);
        let end = tail
            .find(|c: char| c.is_ascii_digit() || c == '.')
            .unwrap_or(tail.len());
        let (unit, tail) = tail.split_at(end);
        let scale = UNITS
            .iter()
            .find(|(name, _)| *name == unit)
            .ok_or_else(fail)?
            .1;
        total = scaled(number, scale)
            .and_then(|nanos| total.checked_add(nanos))
            .ok_or_else(fail)?;
        rest = tail;
    }
    u64::try_from(total)
        .map(Duration::from_nanos)
        .map_err(|_| fail())
}

/// `number` (digits with at most one point) times `scale`; `None` if it is no
/// number or too large.
fn scaled(number: &str, scale: u128) -> Option<u128> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if whole.is_empty() && fraction.is_empty() {
        return None;
    }
    let digits = |s: &str| -> Option<u128> {
        match s {
            "" => Some(0),
            // Longer than any u64 of nanoseconds.
            _ if s.len() > 20 => None,
            _ => s.parse::<u64>().ok().map(u128::from),
        }
    };
    let mut total = digits(whole)?.checked_mul(scale)?;
    if !fraction.is_empty() {
        // Below a nanosecond there is nothing to keep.
        let kept = &fraction[..fraction.len().min(15)];
        let power = 10_u128.checked_pow(u32::try_from(kept.len()).ok()?)?;
        total = total.checked_add(digits(kept)?.checked_mul(scale)? / power)?;
    }
    Some(total)
}

/// Writes the shortest form that [`parse`] reads back: `1m30s`, `720h`, `0s`.
#[must_use]
pub fn format(duration: Duration) -> String {
    let mut rest = duration.as_nanos();
    if rest == 0 {
        return "0s".to_owned();
    }
    let mut text = String::new();
    for (unit, scale) in UNITS.iter().filter(|(unit, _)| *unit != "µs") {
        let n = rest / scale;
        if n > 0 {
            let _ = write!(text, "{n}{unit}");
            rest %= scale;
        }
    }
    text
}

/// For serde's `with`.
///
/// # Errors
/// The serializer's.
pub fn serialize<S: Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&format(*duration))
}

/// For serde's `with`.
///
/// # Errors
/// Not a duration; the text says how to write it.
pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    struct Visitor;

    impl de::Visitor<'_> for Visitor {
        type Value = Duration;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            write!(f, "a duration ({HOW})")
        }

        fn visit_str<E: de::Error>(self, text: &str) -> Result<Duration, E> {
            parse(text).map_err(E::custom)
        }
    }

    deserializer.deserialize_any(Visitor)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_and_writes_go_style_durations() {
        for (text, millis, written) in [
            ("25s", 25_000, "25s"),
            ("1m30s", 90_000, "1m30s"),
            ("720h", 2_592_000_000, "720h"),
            ("300ms", 300, "300ms"),
            ("1.5s", 1_500, "1s500ms"),
            (".5s", 500, "500ms"),
            ("0", 0, "0s"),
            ("0s", 0, "0s"),
            ("90m", 5_400_000, "1h30m"),
        ] {
            let duration = parse(text).unwrap();
            assert_eq!(duration, Duration::from_millis(millis), "{text}");
            assert_eq!(format(duration), written, "{text}");
            assert_eq!(parse(&format(duration)), Ok(duration), "{text}");
        }
    }

    #[test]
    fn refuses_what_is_not_a_duration_without_panicking() {
        for text in [
            "",
            "25",
            "s",
            ".s",
            "1 s",
            "-1s",
            "1d",
            "1s2",
            "1.2.3s",
            "9999999999999999999999h",
            "18446744073709551615h",
            "1µ",
        ] {
            let error = parse(text).unwrap_err();
            assert!(error.contains("25s"), "{text}: {error}");
        }
    }
}
