//! Tables of figures, and what they are held to, as docs/performance.md shows them.

use std::collections::BTreeMap;

/// One line of a table.
pub struct Row {
    id: String,
    what: String,
    values: BTreeMap<String, String>,
    /// Figures and limits.
    verdict: String,
    is_good: Option<bool>,
}

/// What a figure is held to.
#[derive(Clone, Copy, Debug)]
pub enum Limit {
    /// No more than this.
    AtMost(f64),
    /// No less than this.
    AtLeast(f64),
}

impl Row {
    /// Without figures.
    pub fn new(id: impl Into<String>, what: impl Into<String>) -> Row {
        Row {
            id: id.into(),
            what: what.into(),
            values: BTreeMap::new(),
            verdict: String::new(),
            is_good: None,
        }
    }

    /// Puts a figure into a column, with so many digits.
    pub fn put(&mut self, column: &str, figure: f64, digits: usize) {
        self.values
            .insert(column.to_owned(), format!("{figure:.digits$}"));
    }

    /// Says whether a figure is good enough; nothing where it could not be measured.
    pub fn hold(&mut self, name: &str, figure: Option<f64>, limit: Option<Limit>) {
        let (Some(figure), Some(limit)) = (figure, limit) else {
            return;
        };
        let (is_good, sign, bound) = match limit {
            Limit::AtMost(bound) => (figure <= bound, '≤', bound),
            Limit::AtLeast(bound) => (figure >= bound, '≥', bound),
        };
        self.say(&format!("{name} {figure:.2} ({sign} {bound})"), is_good);
    }

    /// Adds a verdict.
    pub fn say(&mut self, text: &str, is_good: bool) {
        let word = if is_good { "pass" } else { "falls short" };
        if !self.verdict.is_empty() {
            self.verdict.push_str("; ");
        }
        self.verdict.push_str(text);
        self.verdict.push_str(if text.is_empty() { "" } else { ": " });
        self.verdict.push_str(word);
        self.is_good = Some(is_good && self.is_good != Some(false));
    }
}

/// Prints a table with these columns of figures, and the verdicts in the last one.
pub fn print(columns: &[&str], verdicts: &str, rows: &[Row]) {
    let mut text = format!("\n| | | {} | {verdicts} |\n", columns.join(" | "));
    text.push_str(&format!("|{}\n", "---|".repeat(columns.len() + 3)));
    for row in rows {
        text.push_str(&format!("| {} | {} |", row.id, row.what));
        for column in columns {
            let value = row.values.get(*column).map_or("-", |value| value);
            text.push_str(&format!(" {value} |"));
        }
        text.push_str(&format!(" {} |\n", row.verdict));
    }
    println!("{text}");
}

/// Prints how many rows are good enough; tells whether all are that are held to something.
pub fn tally<'a>(rows: impl IntoIterator<Item = &'a Row>) -> bool {
    let (mut passed, mut short, mut others) = (0, 0, 0);
    for row in rows {
        match row.is_good {
            Some(true) => passed += 1,
            Some(false) => short += 1,
            None => others += 1,
        }
    }
    println!("{passed} rows pass, {short} fall short, {others} are held to nothing");
    short == 0
}

/// The middle one, or the upper one of two.
pub fn median(figures: impl IntoIterator<Item = f64>) -> Option<f64> {
    let mut figures: Vec<f64> = figures.into_iter().filter(|figure| figure.is_finite()).collect();
    figures.sort_by(f64::total_cmp);
    figures.get(figures.len() / 2).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_figure_that_is_not_good_enough_spoils_the_row() {
        let mut row = Row::new("S1", "CPU");
        row.hold("bare", Some(1.2), Some(Limit::AtMost(1.1)));
        row.hold("governed", Some(0.8), Some(Limit::AtLeast(0.75)));
        assert_eq!(
            row.verdict,
            "bare 1.20 (≤ 1.1): falls short; governed 0.80 (≥ 0.75): pass"
        );
        assert!(!tally([&row]));
    }

    #[test]
    fn what_is_held_to_nothing_is_no_failure() {
        let mut row = Row::new("S1", "CPU");
        row.hold("bare", None, Some(Limit::AtMost(1.0)));
        row.hold("bare", Some(2.0), None);
        assert!(tally([&row]));
    }

    #[test]
    fn a_median_is_one_of_the_figures() {
        assert_eq!(median([3.0, f64::NAN, 1.0, 2.0]), Some(2.0));
        assert_eq!(median([]), None);
    }
}
