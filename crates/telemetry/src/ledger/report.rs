//! Answers about many calls: for people, for spreadsheets, for programs.

use serde::{Deserialize, Serialize, Serializer};
use serde_json::{Map, Value as Json, json};

use super::query::Group;
use super::rollup::Sums;
use super::schema::Measure;
use super::span::time_text;

/// Sums by groups.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// From when on, in seconds since 1970.
    pub since: i64,
    /// Until when, in seconds since 1970.
    pub until: i64,
    /// What the sums are grouped by.
    pub by: Vec<Group>,
    /// The groups: by time where the time was asked for first, else the dearest first.
    pub rows: Vec<ReportRow>,
    /// All groups together.
    pub totals: Sums,
    /// What should be known about it, one sentence each.
    pub notes: Vec<String>,
}

/// One group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReportRow {
    /// The texts of the group, in the order of [`Report::by`]; empty for calls that have none.
    pub group: Vec<String>,
    /// Its sums.
    pub sums: Sums,
}

/// What stands for an empty text of a group in a table for people.
const NONE: &str = "(none)";

impl Report {
    /// As JSON: times, groups with their sums, totals.
    pub fn json(&self) -> String {
        let rows: Vec<Json> = self
            .rows
            .iter()
            .map(|row| {
                let mut map = Map::new();
                for (group, text) in self.by.iter().zip(&row.group) {
                    map.insert(group.name().to_owned(), json!(text));
                }
                add_sums(&mut map, &row.sums);
                Json::Object(map)
            })
            .collect();
        let mut totals = Map::new();
        add_sums(&mut totals, &self.totals);
        let report = json!({
            "since": time_text(self.since),
            "until": time_text(self.until),
            "by": self.by.iter().map(|group| group.name()).collect::<Vec<_>>(),
            "rows": rows,
            "totals": totals,
            "notes": self.notes,
        });
        let mut text = report.to_string();
        text.push('\n');
        text
    }

    /// Reads what [`Report::json`] has written, as a server sends it.
    ///
    /// # Errors
    /// It is something else.
    pub fn from_json(text: &str) -> Result<Report, serde_json::Error> {
        let sent: Sent = serde_json::from_str(text)?;
        let by: Vec<Group> = sent
            .by
            .iter()
            .filter_map(|name| Group::all().find(|group| group.name() == name))
            .collect();
        let rows = sent.rows.iter().map(|row| ReportRow {
            group: by
                .iter()
                .map(|group| {
                    row.get(group.name())
                        .and_then(Json::as_str)
                        .unwrap_or_default()
                        .to_owned()
                })
                .collect(),
            sums: sums_of(row),
        });
        Ok(Report {
            since: seconds(&sent.since)?,
            until: seconds(&sent.until)?,
            rows: rows.collect(),
            by,
            totals: sums_of(&sent.totals),
            notes: sent.notes,
        })
    }

    /// As a CSV file (RFC 4180): a line of names, then a line for each group. There is no line of totals, because whoever adds
    /// lines up would add it too.
    pub fn csv(&self) -> String {
        let names = self.by.iter().map(|group| group.name().to_owned());
        let measures = Measure::ALL.iter().map(|measure| measure.name().to_owned());
        let mut text = csv_line(names.chain(measures).chain(["cost_usd".to_owned()]));
        for row in &self.rows {
            let numbers = Measure::ALL
                .iter()
                .map(|measure| row.sums.get(*measure).to_string());
            let cost = usd(row.sums.get(Measure::CostMicroUsd));
            text.push_str(&csv_line(row.group.iter().cloned().chain(numbers).chain([cost])));
        }
        text
    }

    /// As a table for people, with a line of totals.
    pub fn table(&self) -> String {
        let mut head: Vec<String> = self.by.iter().map(|group| group.name().to_owned()).collect();
        let texts = head.len();
        head.extend(
            [
                "calls",
                "failed",
                "input",
                "cached",
                "output",
                "reasoning",
                "cost USD",
                "avg ms",
                "ttft ms",
            ]
            .map(str::to_owned),
        );
        let mut lines = vec![head];
        for row in &self.rows {
            let shown = row.group.iter().map(|text| match text.as_str() {
                "" => NONE.to_owned(),
                _ => clean(text),
            });
            lines.push(shown.chain(cells(&row.sums)).collect());
        }
        let mut totals: Vec<String> = vec![String::new(); texts];
        if let Some(first) = totals.first_mut() {
            "total".clone_into(first);
        }
        totals.extend(cells(&self.totals));
        lines.push(totals);
        let mut table = aligned(&lines, texts);
        let unpriced = self.totals.get(Measure::UnpricedCalls);
        if unpriced > 0 {
            table.push_str(&format!(
                "* the price of {} is not known, or not all of it; the amount is what is known\n",
                counted(unpriced)
            ));
        }
        let estimated = self.totals.get(Measure::EstimatedCalls);
        if estimated > 0 {
            table.push_str(&format!(
                "~ {} in part an estimate\n",
                match estimated {
                    1 => "1 call is".to_owned(),
                    _ => format!("{} calls are", grouped(estimated)),
                }
            ));
        }
        for note in &self.notes {
            table.push_str(&format!("note: {}\n", clean(note)));
        }
        table.push_str(&format!(
            "{} to {}\n",
            time_text(self.since),
            time_text(self.until)
        ));
        table
    }
}

/// What a server sends.
#[derive(Deserialize)]
struct Sent {
    since: String,
    until: String,
    by: Vec<String>,
    rows: Vec<Map<String, Json>>,
    totals: Map<String, Json>,
    notes: Vec<String>,
}

fn seconds(text: &str) -> Result<i64, serde_json::Error> {
    let time: Result<jiff::Timestamp, _> = text.parse();
    time.map(|time| time.as_second())
        .map_err(serde::de::Error::custom)
}

fn add_sums(map: &mut Map<String, Json>, sums: &Sums) {
    for measure in Measure::ALL {
        map.insert(measure.name().to_owned(), json!(sums.get(*measure)));
    }
    map.insert("cost_usd".to_owned(), json!(usd(sums.get(Measure::CostMicroUsd))));
}

fn sums_of(map: &Map<String, Json>) -> Sums {
    let mut sums = Sums::default();
    for measure in Measure::ALL {
        sums.add_to(
            *measure,
            map.get(measure.name()).and_then(Json::as_i64).unwrap_or(0),
        );
    }
    sums
}

impl Serialize for Sums {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = Map::new();
        add_sums(&mut map, self);
        map.serialize(serializer)
    }
}

fn cells(sums: &Sums) -> [String; 9] {
    let sum = |measure| grouped(sums.get(measure));
    let average = |sum: Measure, count: Measure| match sums.get(count) {
        0 => String::new(),
        count => grouped(sums.get(sum) / count),
    };
    let mut cost = usd(sums.get(Measure::CostMicroUsd));
    if sums.get(Measure::EstimatedCalls) > 0 {
        cost.insert(0, '~');
    }
    if sums.get(Measure::UnpricedCalls) > 0 {
        cost.push('*');
    }
    [
        sum(Measure::Calls),
        sum(Measure::Failed),
        sum(Measure::InputTokens),
        sum(Measure::CachedTokens),
        sum(Measure::OutputTokens),
        sum(Measure::ReasoningTokens),
        cost,
        average(Measure::Latency, Measure::Calls),
        average(Measure::TimeToFirstToken, Measure::TimedCalls),
    ]
}

/// Lines whose cells stand below each other: texts to the left, numbers to the right.
fn aligned(lines: &[Vec<String>], texts: usize) -> String {
    let columns = lines.first().map_or(0, Vec::len);
    let width = |column: usize| {
        let cells = lines.iter().filter_map(|line| line.get(column));
        cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let mut text = String::new();
    for line in lines {
        let mut shown = String::new();
        for (column, (cell, width)) in line.iter().zip(&widths).enumerate() {
            if column > 0 {
                shown.push_str("  ");
            }
            match column < texts {
                true => shown.push_str(&format!("{cell:<width$}")),
                false => shown.push_str(&format!("{cell:>width$}")),
            }
        }
        text.push_str(shown.trim_end());
        text.push('\n');
    }
    text
}

fn counted(calls: i64) -> String {
    match calls {
        1 => "1 call".to_owned(),
        _ => format!("{} calls", grouped(calls)),
    }
}

/// `1,234,567`
fn grouped(number: i64) -> String {
    let digits = number.unsigned_abs().to_string();
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    if number < 0 {
        text.insert(0, '-');
    }
    text
}

/// Micro-dollars as dollars, exactly: `0.000123`.
pub fn usd(micro: i64) -> String {
    let sign = if micro < 0 { "-" } else { "" };
    let micro = micro.unsigned_abs();
    format!("{sign}{}.{:06}", micro / 1_000_000, micro % 1_000_000)
}

/// A text without what may confuse a terminal.
fn clean(text: &str) -> String {
    let clean = |character: char| if character.is_control() { '?' } else { character };
    text.chars().map(clean).collect()
}

/// A line of a CSV file. What a spreadsheet would take for a formula gets an apostrophe, because clients choose some names.
pub(super) fn csv_line(cells: impl Iterator<Item = String>) -> String {
    let mut line = String::new();
    for (number, cell) in cells.enumerate() {
        if number > 0 {
            line.push(',');
        }
        let is_formula = cell.starts_with(['=', '+', '@', '\t', '\r'])
            || (cell.starts_with('-') && cell.parse::<f64>().is_err());
        let cell = if is_formula { format!("'{cell}") } else { cell };
        if cell.contains(['"', ',', '\n', '\r']) {
            line.push('"');
            line.push_str(&cell.replace('"', "\"\""));
            line.push('"');
        } else {
            line.push_str(&cell);
        }
    }
    line.push_str("\r\n");
    line
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::Column;

    fn report() -> Report {
        let mut dear = Sums::default();
        dear.add_to(Measure::Calls, 1_234_567);
        dear.add_to(Measure::CostMicroUsd, 12_345_678_901);
        dear.add_to(Measure::Latency, 2 * 1_234_567);
        let mut cheap = Sums::default();
        cheap.add_to(Measure::Calls, 1);
        cheap.add_to(Measure::UnpricedCalls, 1);
        let mut totals = dear;
        totals.add(&cheap);
        let row = |name: &str, sums| ReportRow {
            group: vec![name.to_owned()],
            sums,
        };
        Report {
            since: 0,
            until: 3600,
            by: vec![Group::Key(Column::Consumer)],
            rows: vec![row("=1+1,\"x\"", dear), row("", cheap)],
            totals,
            notes: Vec::new(),
        }
    }

    #[test]
    fn people_get_aligned_columns_exact_costs_and_what_is_unknown() {
        assert_eq!(
            report().table(),
            "consumer      calls  failed  input  cached  output  reasoning       cost USD  avg ms  ttft ms\n\
             =1+1,\"x\"  1,234,567       0      0       0       0          0   12345.678901       2\n\
             (none)            1       0      0       0       0          0      0.000000*       0\n\
             total     1,234,568       0      0       0       0          0  12345.678901*       1\n\
             * the price of 1 call is not known, or not all of it; the amount is what is known\n\
             1970-01-01T00:00:00Z to 1970-01-01T01:00:00Z\n"
        );
    }

    #[test]
    fn a_spreadsheet_gets_texts_and_no_formulas() {
        let csv = report().csv();
        let mut lines = csv.split("\r\n");
        assert!(
            lines
                .next()
                .unwrap()
                .starts_with("consumer,calls,failed,input_tokens,")
        );
        let first = lines.next().unwrap();
        assert!(first.starts_with("\"'=1+1,\"\"x\"\"\",1234567,"), "{first}");
        assert!(first.ends_with(",12345.678901"), "{first}");
        assert_eq!(lines.clone().count(), 2);
    }

    #[test]
    fn what_a_server_sends_is_read_as_it_was() {
        let report = report();
        assert_eq!(Report::from_json(&report.json()).unwrap(), report);
    }
}
