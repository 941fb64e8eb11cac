//! Calls that are in no sum yet.
//!
//! Adding a call to the sums of its hour and day when it is written would change two places of the store for each call, as soon
//! as there are many consumers. So calls are added up later, many at a time and in the order of time ([`super::store::Store::add_up`]).
//! The store remembers up to which time that is done, its *mark*; both change in one transaction. A call is pending if it began at
//! the mark or later and was written as deferred. One that comes when its time is added up already is added when it is written.
//!
//! Whoever reads sums adds the pending calls. This file has the SQL that shows them as sums are shown.

use super::schema::{CALLS, Column, DEFERRED, Dialect, KEY_COLUMNS, Measure, joined};

/// The condition for pending calls from one time to another, `$1` and `$2` in milliseconds since 1970. The first is at least the mark.
pub(super) fn condition() -> String {
    format!("{DEFERRED} = 1 AND time_ms >= $1 AND time_ms < $2")
}

/// Pending calls with the columns of an hourly sum, and those of its key.
pub(super) fn as_sums() -> String {
    let hour = "time_ms / 1000 - (time_ms / 1000) % 3600 AS start".to_owned();
    let keys = KEY_COLUMNS.map(|column| format!("{} AS {}", key(column), column.name()));
    let measures = Measure::ALL
        .iter()
        .map(|one| format!("{} AS {}", measure(*one), one.name()));
    let columns = joined([hour].into_iter().chain(keys).chain(measures));
    format!("SELECT {columns} FROM {CALLS} WHERE {}", condition())
}

/// What pending calls have charged: budget, beginning of the period, amount.
pub(super) fn charges(dialect: Dialect) -> String {
    let condition = condition();
    match dialect {
        Dialect::Sqlite => format!(
            "SELECT json_extract(j.value, '$.budget') AS budget, json_extract(j.value, '$.start') AS start, \
             SUM(json_extract(j.value, '$.amount')) AS amount FROM {CALLS}, json_each({CALLS}.charges) j \
             WHERE charges IS NOT NULL AND {condition} GROUP BY 1, 2"
        ),
        Dialect::Postgres => format!(
            "SELECT x.budget, x.start, CAST(LEAST(SUM(x.amount), {max}) AS BIGINT) AS amount FROM {CALLS} CROSS JOIN LATERAL \
             json_to_recordset(charges::json) AS x(budget text, start bigint, amount bigint) \
             WHERE charges IS NOT NULL AND {condition} GROUP BY 1, 2",
            max = i64::MAX
        ),
    }
}

/// When credentials of pending calls were used last: credential and time in milliseconds since 1970.
pub(super) fn used() -> String {
    let credential = Column::Credential.name();
    format!(
        "SELECT {credential}, MAX(time_ms) AS at_ms FROM {CALLS} WHERE {} AND COALESCE({credential}, '') <> '' GROUP BY 1",
        condition()
    )
}

/// As [`super::rollup::Key`] has it.
fn key(column: Column) -> String {
    match column {
        Column::ModelAsked => {
            "CASE WHEN COALESCE(model_served, '') = '' THEN '' ELSE COALESCE(model_asked, '') END".to_owned()
        }
        _ => format!("COALESCE({}, '')", column.name()),
    }
}

/// As [`super::rollup::Sums`] has it.
fn measure(measure: Measure) -> String {
    let one_if = |condition: &str| format!("CASE WHEN {condition} THEN 1 ELSE 0 END");
    match measure {
        Measure::Calls => "1".to_owned(),
        Measure::Failed => "CASE WHEN outcome = 'ok' THEN 0 ELSE 1 END".to_owned(),
        Measure::EstimatedCalls => one_if("usage_estimated = 1 OR cost_state = 'estimated'"),
        Measure::UnpricedCalls => one_if("cost_state IN ('unknown', 'partly')"),
        Measure::TimedCalls => one_if("ttft_ms IS NOT NULL"),
        Measure::CostMicroUsd | Measure::TimeToFirstToken => format!("COALESCE({}, 0)", measure.name()),
        _ => measure.name().to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::query::{Group, Usage};
    use super::super::report::Report;
    use super::super::row::Row;
    use super::super::rows::{Rows, encoded};
    use super::super::sqlite::Sqlite;
    use super::super::store::{Due, Store};
    use super::super::{Place, Reader};
    use super::*;

    const HOUR_MS: i64 = 3_600_000;

    /// A file and what is asked of it.
    struct Kept {
        _folder: tempfile::TempDir,
        store: Sqlite,
        reader: Reader,
    }

    impl Kept {
        fn new() -> Kept {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("usage.db");
            Kept {
                store: Sqlite::open(&path).unwrap(),
                reader: Reader::new(Place::File(path)),
                _folder: folder,
            }
        }

        fn write(&mut self, numbers: impl Iterator<Item = i64>) {
            let ids: Vec<(i64, String)> = numbers.map(|number| (number, format!("call-{number}"))).collect();
            let rows: Vec<Row<'_>> = ids.iter().map(|(number, id)| row(*number, id)).collect();
            let bytes = encoded(&rows);
            let rows = Rows::first(&bytes, usize::MAX);
            assert_eq!(self.store.write(rows).unwrap(), u64::try_from(ids.len()).unwrap());
        }

        fn add_up(&mut self, until_ms: i64, most: u32) -> bool {
            let due = Due {
                hours_ms: until_ms / HOUR_MS * HOUR_MS,
                any_ms: until_ms,
            };
            self.store.add_up(&due, most).unwrap()
        }

        /// Everything that can be asked of sums.
        fn told(&self) -> [Report; 3] {
            [Group::Hour, Group::Day, Group::Month].map(|time| {
                let keys = KEY_COLUMNS.map(Group::Key);
                let usage = Usage {
                    by: [time].into_iter().chain(keys).collect(),
                    since: 0,
                    until: 40 * 86_400,
                    only: Vec::new(),
                    teams: None,
                };
                self.reader.usage(&usage).unwrap()
            })
        }
    }

    /// Calls that differ in everything, spread over three hours.
    fn row(number: i64, id: &str) -> Row<'_> {
        let mut row = Row::default();
        for (place, column) in Column::ALL.iter().enumerate() {
            let some = number * 31 + i64::try_from(place).unwrap();
            match column.kind() {
                super::super::Kind::Count => row.number(*column, some % 1000),
                super::super::Kind::Number if some % 3 > 0 => row.number(*column, some % 1000),
                super::super::Kind::Text if some % 3 > 0 => {
                    row.text(*column, ["", "a", "b"][(some % 7 % 3) as usize])
                }
                _ => {}
            }
        }
        row.text(Column::RequestId, id);
        row.number(Column::Time, 5 * 86_400_000 + number * 7_919_000 % (3 * HOUR_MS));
        row.number(Column::UsageEstimated, number % 2);
        row.text(Column::Outcome, ["ok", "cut"][(number % 2) as usize]);
        row.text(
            Column::CostState,
            ["known", "unknown", "partly", "estimated"][(number % 4) as usize],
        );
        if number % 2 == 0 {
            row.text(
                Column::Charges,
                r#"[{"budget":"a","start":0,"amount":3},{"budget":"b","start":86400,"amount":4}]"#,
            );
        }
        row
    }

    const END: i64 = 6 * 86_400_000;

    #[test]
    fn pending_calls_are_told_as_they_are_when_they_are_added_up() {
        let mut kept = Kept::new();
        kept.write(0..200);
        let (before, spent) = (kept.told(), kept.store.spent().unwrap());
        assert_eq!(before[0].totals.get(Measure::Calls), 200);
        assert_eq!(spent, [("a".to_owned(), 0, 300), ("b".to_owned(), 86_400, 400)]);
        assert!(!kept.add_up(END, 1000));
        assert_eq!(kept.told(), before);
        assert_eq!(kept.store.spent().unwrap(), spent);
    }

    #[test]
    fn every_call_counts_once_however_little_is_added_up_at_a_time_and_however_late_it_comes() {
        let (mut at_once, mut by_and_by) = (Kept::new(), Kept::new());
        at_once.write(0..200);
        for first in (0..200).step_by(20) {
            by_and_by.write(first..first + 20);
            // Up to the middle of an hour, if there are many.
            by_and_by.add_up(5 * 86_400_000 + first * 30_000, 7);
            assert_eq!(by_and_by.told()[1].totals.get(Measure::Calls), first + 20);
        }
        while by_and_by.add_up(END, 7) {}
        assert_eq!(by_and_by.told(), at_once.told());
        assert_eq!(by_and_by.store.spent().unwrap(), at_once.store.spent().unwrap());
    }

    #[test]
    fn calls_that_are_not_added_up_are_never_too_old() {
        let mut kept = Kept::new();
        kept.write(0..50);
        let cutoffs = super::super::store::Cutoffs {
            calls_ms: END,
            hours_s: 0,
            days_s: 0,
        };
        kept.store.prune(&cutoffs, 1000).unwrap();
        assert_eq!(kept.told()[0].totals.get(Measure::Calls), 50);
        assert!(!kept.add_up(END, 1000));
        kept.store.prune(&cutoffs, 1000).unwrap();
        assert!(kept.reader.call("call-1", None).unwrap().is_none());
        assert_eq!(kept.told()[0].totals.get(Measure::Calls), 50);
    }
}
