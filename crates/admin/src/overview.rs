//! `GET /tollgate/v1/overview`: a time at a glance, from the usage ledger.

use http::StatusCode;
use serde_json::{Map, Value, json};
use tollgate_telemetry::ledger::{
    Column, Measure, Overview, Percentiles, Point, QueryError, Range, Sums, Timeline, time_text, usd,
};

use crate::answer::Answer;
use crate::query::Query;
use crate::v1::Problem;

/// What calls may be grouped by.
const BY: [(&str, Column); 6] = [
    ("model", Column::ModelServed),
    ("provider", Column::Provider),
    ("consumer", Column::Consumer),
    ("team", Column::Team),
    ("route", Column::Route),
    ("instance", Column::Instance),
];

/// Reads a question.
pub(crate) fn asked(query: &Query, now: i64) -> Result<Overview, Problem> {
    let range = match (query.first("range"), query.first("since")) {
        (Some(_), Some(_)) => return Err(Problem::invalid("range", "write `range` or `since`, not both")),
        (None, Some(since)) => between(since, query.first("until").unwrap_or("now"), now)?,
        (word, None) => {
            if query.first("until").is_some() {
                return Err(Problem::invalid("until", "write `since` too"));
            }
            let word = word.unwrap_or("1h");
            let range = Range::ALL.iter().find(|(name, _)| *name == word);
            let range = range.map(|(_, range)| *range);
            range.ok_or_else(|| Problem::invalid("range", "write 15m, 1h, 24h, 7d or 30d"))?
        }
    };
    let compares = match query.first("compare") {
        None | Some("false") => false,
        Some("true") => true,
        Some(_) => return Err(Problem::invalid("compare", "write true or false")),
    };
    let word = query.first("by").unwrap_or("model");
    let by = BY.iter().find(|(name, _)| *name == word);
    let (_, by) =
        by.ok_or_else(|| Problem::invalid("by", "write model, provider, consumer, team, route or instance"))?;
    Ok(Overview {
        range,
        by: *by,
        now,
        compares,
        teams: None,
    })
}

fn between(since: &str, until: &str, now: i64) -> Result<Range, Problem> {
    Range::between(since, until, now).map_err(|error| match error {
        QueryError::Asked { parameter, text } => Problem::invalid(parameter, text),
        other => Problem::invalid("since", other.to_string()),
    })
}

/// Tells what was found.
pub(crate) fn told(query: &Query, timeline: &Timeline) -> Answer {
    let series: Vec<Value> = timeline
        .points
        .iter()
        .enumerate()
        .map(|(place, point)| {
            let at = timeline.since + timeline.step_s * i64::try_from(place).unwrap_or(0);
            let mut map = of_point(point);
            map.insert("time".to_owned(), time_text(at).into());
            map.into()
        })
        .collect();
    let groups: Vec<Value> = timeline
        .groups
        .iter()
        .map(|(name, point)| {
            let mut map = of_point(point);
            map.insert("name".to_owned(), name.as_str().into());
            map.into()
        })
        .collect();
    let told = json!({
        "range": query.first("since").is_none().then(|| query.first("range").unwrap_or("1h")),
        "by": query.first("by").unwrap_or("model"),
        "since": time_text(timeline.since),
        "until": time_text(timeline.until),
        "step_s": timeline.step_s,
        "totals": of_point(&timeline.total),
        "before": timeline.before.as_ref().map(of_sums),
        "percentiles_of": timeline.looked_at,
        "series": series,
        "groups": groups,
    });
    Answer::json(StatusCode::OK, told)
}

fn of_point(point: &Point) -> Map<String, Value> {
    let mut map = of_sums(&point.sums);
    map.insert("latency_ms".to_owned(), of_percentiles(point.latency));
    map.insert("ttft_ms".to_owned(), of_percentiles(point.first_token));
    map
}

fn of_percentiles(percentiles: Option<Percentiles>) -> Value {
    percentiles.map_or(
        Value::Null,
        |of| json!({"p50": of.p50, "p95": of.p95, "p99": of.p99}),
    )
}

fn of_sums(sums: &Sums) -> Map<String, Value> {
    let mut map = Map::new();
    for measure in [
        Measure::Calls,
        Measure::Failed,
        Measure::InputTokens,
        Measure::CachedTokens,
        Measure::OutputTokens,
        Measure::UnpricedCalls,
    ] {
        map.insert(measure.name().to_owned(), sums.get(measure).into());
    }
    map.insert("cost_usd".to_owned(), usd(sums.get(Measure::CostMicroUsd)).into());
    let average = |sum, count| match sums.get(count) {
        0 => Value::Null,
        count => (sums.get(sum) / count).into(),
    };
    map.insert(
        "latency_avg_ms".to_owned(),
        average(Measure::Latency, Measure::Calls),
    );
    map.insert(
        "ttft_avg_ms".to_owned(),
        average(Measure::TimeToFirstToken, Measure::TimedCalls),
    );
    map
}
