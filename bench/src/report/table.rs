//! Tables in Markdown, which read well in a terminal too.

use super::number::{ratio, short, spread};
use super::verdict::{Judged, Verdict};

/// Every target, what is reached, and whether it is met.
pub(super) fn targets(verdicts: &[Verdict]) -> String {
    let mut rows = vec![
        [
            "what",
            "measure",
            "target",
            "reached: median (min–max)",
            "met",
        ]
        .map(str::to_owned)
        .to_vec(),
    ];
    for verdict in verdicts {
        for judged in &verdict.targets {
            rows.push(vec![
                verdict.what.clone(),
                verdict.measure.clone(),
                judged.target.clone(),
                reached(judged),
                met(judged).to_owned(),
            ]);
        }
    }
    markdown(&rows)
}

/// Every measure and every subject: the ratio and, in parentheses, the figure.
pub(super) fn measures(verdicts: &[Verdict]) -> String {
    let mut rows = vec![
        [
            "what",
            "measure",
            "subject",
            "figure: median (min–max)",
            "ratio: median (min–max)",
        ]
        .map(str::to_owned)
        .to_vec(),
    ];
    for verdict in verdicts {
        for (at, line) in verdict.lines.iter().enumerate() {
            let first = at == 0;
            let figure = spread(line.figure, short);
            let unit = if line.figure.is_some() {
                verdict.unit.as_str()
            } else {
                ""
            };
            rows.push(vec![
                if first {
                    verdict.what.clone()
                } else {
                    String::new()
                },
                if first {
                    verdict.measure.clone()
                } else {
                    String::new()
                },
                line.subject.clone(),
                format!("{figure} {unit}").trim_end().to_owned(),
                match line.ratio {
                    None => "–".to_owned(),
                    Some(_) => format!("{} × {}", spread(line.ratio, ratio), verdict.against),
                },
            ]);
        }
    }
    markdown(&rows)
}

pub(super) fn reached(judged: &Judged) -> String {
    let is_ratio = judged.target.contains('×') || judged.target.starts_with("below");
    spread(judged.reached, if is_ratio { ratio } else { short })
}

pub(super) fn met(judged: &Judged) -> &'static str {
    match judged.met {
        Some(true) => "yes",
        Some(false) => "NO",
        None => "not measured",
    }
}

/// A table whose first row is its head, with columns as wide as they must be.
pub(super) fn markdown(rows: &[Vec<String>]) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column));
        cells
            .map(|cell| cell.chars().count())
            .max()
            .unwrap_or(0)
            .max(3)
    };
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let mut text = String::new();
    for (at, row) in rows.iter().enumerate() {
        for (cell, width) in row.iter().zip(&widths) {
            let padding = " ".repeat(width - cell.chars().count());
            text.push_str(&format!("| {}{padding} ", cell.replace('|', "\\|")));
        }
        text.push_str("|\n");
        if at == 0 {
            let rules = widths
                .iter()
                .map(|width| format!("|{}", "-".repeat(width + 2)));
            text.extend(rules);
            text.push_str("|\n");
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let rows = [["a", "bcdef"], ["longer", "µ"]].map(|row| row.map(str::to_owned).to_vec());
        let expected = "| a      | bcdef |\n|--------|-------|\n| longer | µ     |\n";
        assert_eq!(markdown(&rows), expected);
    }
}
