//! The report as one page without anything from elsewhere: plots are inline SVG.

use std::fmt::Write as _;

use super::document::{facts, faults};
use super::number::{ratio, short, spread};
use super::table::{met, reached};
use super::verdict::{Line, Verdict};
use crate::ladder::{FLOOR, Results};

const STYLE: &str = include_str!("style.css");

// Of a plot, in pixels.
const WIDTH: f64 = 760.0;
const LEFT: f64 = 130.0;
const RIGHT: f64 = 250.0;
const ROW: f64 = 26.0;
const TOP: f64 = 6.0;

/// The whole page.
pub(super) fn page(verdicts: &[Verdict], results: &Results) -> String {
    let mut page = String::new();
    let _ = write!(
        page,
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta name=\"color-scheme\" content=\"light dark\">\n\
         <title>Fanfare: the measured ladder</title>\n<style>\n{STYLE}</style>\n</head>\n<body>\n\
         <main>\n<h1>The measured ladder</h1>\n"
    );
    conditions(&mut page, results);
    targets(&mut page, verdicts);
    let mut experiment = "";
    for verdict in verdicts {
        if verdict.experiment != experiment {
            experiment = &verdict.experiment;
            let _ = writeln!(
                page,
                "<h2 id=\"{experiment}\">{}</h2>",
                escaped(&verdict.what)
            );
        }
        plot(&mut page, verdict);
    }
    notes(&mut page, results);
    page.push_str("</main>\n</body>\n</html>\n");
    page
}

fn conditions(page: &mut String, results: &Results) {
    page.push_str("<table class=\"facts\">\n");
    for (name, value) in facts(results) {
        let value = escaped(&value.replace(['`', '*'], ""));
        let _ = writeln!(page, "<tr><th>{}</th><td>{value}</td></tr>", escaped(&name));
    }
    page.push_str(
        "</table>\n<p>Bars are medians over the turns, the line across shows the least and the \
         greatest, dots are single turns. Ratios are between figures of the same turn. A dashed \
         line is a target.</p>\n",
    );
}

fn targets(page: &mut String, verdicts: &[Verdict]) {
    page.push_str(
        "<h2>Targets</h2>\n<table>\n<tr><th>what</th><th>measure</th><th>target</th>\
         <th>reached</th><th>met</th></tr>\n",
    );
    for verdict in verdicts {
        for judged in &verdict.targets {
            let class = match judged.met {
                Some(true) => "met",
                Some(false) => "missed",
                None => "unknown",
            };
            let _ = writeln!(
                page,
                "<tr><td><a href=\"#{}\">{}</a></td><td>{}</td><td>{}</td><td>{}</td>\
                 <td class=\"{class}\">{}</td></tr>",
                verdict.experiment,
                escaped(&verdict.what),
                escaped(&verdict.measure),
                escaped(&judged.target),
                reached(judged),
                met(judged),
            );
        }
    }
    page.push_str("</table>\n");
}

/// Bars of all subjects.
fn plot(page: &mut String, verdict: &Verdict) {
    let better = if verdict.less_is_better {
        "less"
    } else {
        "more"
    };
    let _ = writeln!(
        page,
        "<h3>{} ({}; {better} is better)</h3>",
        escaped(&verdict.measure),
        escaped(&verdict.unit)
    );
    let mark = verdict.targets.iter().find_map(|judged| judged.mark);
    let figures = verdict
        .lines
        .iter()
        .filter_map(|line| Some(line.figure?.max));
    let greatest = figures.chain(mark).fold(0.0, f64::max);
    if greatest <= 0.0 {
        page.push_str("<p>Not measured.</p>\n");
        return;
    }
    let x = |figure: f64| LEFT + figure / greatest * (WIDTH - LEFT - RIGHT);
    let mut top = TOP;
    let mut rows = String::new();
    for line in &verdict.lines {
        row(&mut rows, line, class(verdict, line), top, &x);
        top += ROW;
    }
    let height = top + TOP;
    let _ = write!(
        page,
        "<svg viewBox=\"0 0 {WIDTH} {height}\" role=\"img\" aria-label=\"{}\">\n{rows}",
        escaped(&verdict.measure)
    );
    if let Some(mark) = mark {
        let _ = writeln!(
            page,
            "<line class=\"target\" x1=\"{0:.1}\" x2=\"{0:.1}\" y1=\"0\" y2=\"{height}\"/>",
            x(mark)
        );
    }
    page.push_str("</svg>\n");
}

fn class(verdict: &Verdict, line: &Line) -> &'static str {
    match line.subject.as_str() {
        subject if subject == verdict.judged => "ours",
        FLOOR => "floor",
        _ => "peer",
    }
}

fn row(rows: &mut String, line: &Line, class: &str, top: f64, x: &dyn Fn(f64) -> f64) {
    let middle = top + ROW / 2.0;
    let base = middle + 4.0;
    let _ = writeln!(
        rows,
        "<text class=\"name\" x=\"{}\" y=\"{base}\">{}</text>",
        LEFT - 8.0,
        escaped(&line.subject)
    );
    let Some(figure) = line.figure else {
        let _ = writeln!(rows, "<text x=\"{LEFT}\" y=\"{base}\">not measured</text>");
        return;
    };
    let _ = writeln!(
        rows,
        "<rect class=\"{class}\" x=\"{LEFT}\" y=\"{}\" width=\"{:.1}\" height=\"{}\"/>",
        top + 4.0,
        x(figure.median) - LEFT,
        ROW - 8.0
    );
    let _ = writeln!(
        rows,
        "<line class=\"spread\" x1=\"{:.1}\" x2=\"{:.1}\" y1=\"{middle}\" y2=\"{middle}\"/>",
        x(figure.min),
        x(figure.max)
    );
    for value in line.values.iter().flatten() {
        let _ = writeln!(
            rows,
            "<circle cx=\"{:.1}\" cy=\"{middle}\" r=\"2\"/>",
            x(*value)
        );
    }
    let ratios = line
        .ratio
        .map(|_| format!(" · {} ×", spread(line.ratio, ratio)));
    let _ = writeln!(
        rows,
        "<text x=\"{:.1}\" y=\"{base}\">{}{}</text>",
        x(figure.max) + 8.0,
        short(figure.median),
        ratios.unwrap_or_default()
    );
}

fn notes(page: &mut String, results: &Results) {
    page.push_str("<h2 id=\"notes\">Correctness</h2>\n");
    let faults = faults(results);
    if faults.is_empty() {
        page.push_str("<p>No trial failed; no delivery was lost, doubled or out of order.</p>\n");
    }
    list(page, faults);
    page.push_str("<h2>Left out</h2>\n");
    if results.left_out.is_empty() {
        page.push_str("<p>Nothing.</p>\n");
    }
    list(
        page,
        results
            .left_out
            .iter()
            .map(|(name, why)| format!("{name}: {why}")),
    );
}

fn list(page: &mut String, lines: impl IntoIterator<Item = String>) {
    let mut lines = lines.into_iter().peekable();
    if lines.peek().is_none() {
        return;
    }
    page.push_str("<ul>\n");
    for line in lines {
        let _ = writeln!(page, "<li>{}</li>", escaped(&line));
    }
    page.push_str("</ul>\n");
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::super::verdict::{Judged, Summary};
    use super::*;
    use crate::ladder::Conditions;

    #[test]
    fn a_page_needs_nothing_from_elsewhere_and_escapes_what_it_is_told() {
        let summary = Some(Summary {
            median: 2.0,
            min: 1.0,
            max: 3.0,
        });
        let line = |subject: &str| Line {
            subject: subject.to_owned(),
            values: vec![Some(1.0), None, Some(3.0)],
            figure: summary,
            ratio: summary,
        };
        let verdict = Verdict {
            experiment: "e".to_owned(),
            what: "a < b & c".to_owned(),
            measure: "CPU".to_owned(),
            unit: "µs".to_owned(),
            less_is_better: true,
            judged: "fanfare".to_owned(),
            against: FLOOR.to_owned(),
            lines: vec![line("fanfare"), line(FLOOR)],
            targets: vec![Judged {
                target: "≤ 1 × floor".to_owned(),
                reached: summary,
                met: Some(false),
                mark: Some(2.0),
            }],
        };
        let results = Results {
            conditions: Conditions::unknown(),
            left_out: [("nchan".to_owned(), "<b>no</b> module".to_owned())].into(),
            versions: [].into(),
            trials: Vec::new(),
        };
        let page = page(&[verdict], &results);
        assert!(page.contains("a &lt; b &amp; c"));
        assert!(page.contains("&lt;b&gt;no&lt;/b&gt; module"));
        assert!(page.contains("2.00 (1.00–3.00) ×"));
        for elsewhere in ["http:", "https:", "<script", "@import", "url("] {
            assert!(!page.contains(elsewhere), "{elsewhere}");
        }
        assert_eq!(page.matches("<svg").count(), 1);
        assert_eq!(page.matches("<circle").count(), 4);
    }
}
