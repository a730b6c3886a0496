//! The report: tables, plots and documentation out of the ladder's results.
