//! The tables of codes, and the document that explains them.

use wire::{Disconnect, ErrorCode, Unsubscribe, is_json};

fn document() -> String {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/protocol.md");
    std::fs::read_to_string(path).expect("docs/protocol.md is part of the project")
}

/// The cells of the table row that begins with this code, in the section with this heading.
fn row(document: &str, heading: &str, code: u32) -> Vec<String> {
    let section = document
        .split("\n## ")
        .find(|section| section.starts_with(heading))
        .unwrap_or_else(|| panic!("docs/protocol.md has no section {heading}"));
    let start = format!("| {code} |");
    let row = section
        .lines()
        .find(|line| line.starts_with(&start))
        .unwrap_or_else(|| panic!("docs/protocol.md does not explain {heading} {code}"));
    row.split('|').map(|cell| cell.trim().to_owned()).collect()
}

#[test]
fn every_error_code_is_in_the_document() {
    let document = document();
    assert_eq!(ErrorCode::ALL.len(), 14);
    for code in ErrorCode::ALL {
        let cells = row(&document, "Error codes", code.0);
        assert_eq!(Some(cells[2].as_str()), code.message());
        assert_eq!(cells[3] == "yes", code.temporary(), "{code}");
        assert!(!cells[4].is_empty(), "{code} has a meaning");
    }
}

#[test]
fn every_disconnect_code_is_in_the_document() {
    let document = document();
    assert_eq!(Disconnect::ALL.len(), 22);
    for disconnect in Disconnect::ALL {
        let cells = row(&document, "Disconnect codes", disconnect.code);
        assert_eq!(cells[2], disconnect.reason);
        assert_eq!(cells[3] == "yes", disconnect.reconnect(), "{disconnect}");
        assert!(!cells[4].is_empty(), "{disconnect} has a meaning");
    }
}

#[test]
fn every_unsubscribe_code_is_in_the_document() {
    let document = document();
    for unsubscribe in Unsubscribe::ALL {
        let cells = row(&document, "Unsubscribe codes", unsubscribe.code);
        assert_eq!(cells[2], unsubscribe.reason);
        assert_eq!(
            cells[3] == "yes",
            unsubscribe.resubscribe(),
            "{unsubscribe}"
        );
        assert!(!cells[4].is_empty(), "{unsubscribe} has a meaning");
    }
}

#[test]
fn the_range_of_a_disconnect_code_decides() {
    for (code, reconnect) in [
        (1000, true),
        (3000, true),
        (3499, true),
        (3500, false),
        (3999, false),
        (4000, true),
        (4499, true),
        (4500, false),
        (4999, false),
        (5000, true),
    ] {
        assert_eq!(Disconnect::new(code, "x").reconnect(), reconnect, "{code}");
    }
}

#[test]
fn a_reason_fits_into_a_close_frame_and_is_not_json() {
    for disconnect in Disconnect::ALL {
        assert!(disconnect.reason.len() <= 32 && disconnect.reason.is_ascii());
        assert!(!is_json(disconnect.reason.as_bytes()));
    }
    for reason in ["true", "123", "{\"reconnect\":false}", " null "] {
        assert!(
            !is_json(Disconnect::new(4000, reason).reason.as_bytes()),
            "{reason}"
        );
    }
    let long = Disconnect::new(4000, "é".repeat(100));
    assert_eq!(long.reason.len(), 122);
    let digits = Disconnect::new(4000, "1".repeat(200));
    assert_eq!(digits.reason.len(), 123);
    assert!(!is_json(digits.reason.as_bytes()));
    assert_eq!(Disconnect::new(4001, "kicked").reason, "kicked");
}
