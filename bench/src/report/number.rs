//! Numbers for people: three digits that count.

use super::verdict::Summary;

/// A figure: `1.23`, `12.3`, `123`, `12,300`.
pub(super) fn short(figure: f64) -> String {
    let size = figure.abs();
    let decimals = match size {
        _ if size == 0.0 || !figure.is_finite() => 0,
        _ if size < 0.1 => 3,
        _ if size < 10.0 => 2,
        _ if size < 100.0 => 1,
        _ => 0,
    };
    if size < 1000.0 || !figure.is_finite() {
        return format!("{figure:.decimals$}");
    }
    let digits = format!("{:.0}", (figure / 10.0).round() * 10.0);
    let mut grouped = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && digit != '-' && (digits.len() - at).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

/// A ratio, always with two decimals.
pub(super) fn ratio(ratio: f64) -> String {
    format!("{ratio:.2}")
}

/// The median, with its ends in parentheses unless there was one turn only.
pub(super) fn spread(summary: Option<Summary>, format: fn(f64) -> String) -> String {
    match summary {
        None => "–".to_owned(),
        Some(Summary { median, min, max }) if min.to_bits() == max.to_bits() => format(median),
        Some(Summary { median, min, max }) => {
            format!("{} ({}–{})", format(median), format(min), format(max))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_short() {
        let cases = [
            (0.0, "0"),
            (0.0123, "0.012"),
            (1.234, "1.23"),
            (12.34, "12.3"),
            (123.4, "123"),
            (1_234.0, "1,230"),
            (1_427_004.0, "1,427,000"),
            (-1_234.0, "-1,230"),
        ];
        for (figure, expected) in cases {
            assert_eq!(short(figure), expected);
        }
    }

    #[test]
    fn one_turn_has_no_ends() {
        let summary = |min, max| {
            Some(Summary {
                median: 2.0,
                min,
                max,
            })
        };
        assert_eq!(spread(summary(2.0, 2.0), ratio), "2.00");
        assert_eq!(spread(summary(1.0, 3.0), ratio), "2.00 (1.00–3.00)");
        assert_eq!(spread(None, ratio), "–");
    }
}
