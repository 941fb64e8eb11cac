use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::{Description, MAX_SERIES, Metrics};

const LABELS: &[&str] = &["instance", "cause"];

#[test]
fn families_are_told_in_prometheus_text_format() {
    let metrics = Metrics::default();
    let ejections = || metrics.counter("ejections_total", "Ejections.", LABELS, &["a", "late"]);
    ejections().add(2);
    ejections().add(1);
    metrics
        .counter(
            "ejections_total",
            "Ejections.",
            LABELS,
            &["quote\" slash\\ line\n"],
        )
        .add(1);
    let healthy = metrics.gauge("healthy", "Whether it is.", &[], &[]);
    healthy.set(-3);
    assert_eq!(
        metrics.text(),
        "# HELP ejections_total Ejections.\n\
         # TYPE ejections_total counter\n\
         ejections_total{instance=\"a\",cause=\"late\"} 3\n\
         ejections_total{instance=\"quote\\\" slash\\\\ line\\n\",cause=\"\"} 1\n\
         # HELP healthy Whether it is.\n\
         # TYPE healthy gauge\n\
         healthy -3\n"
    );
}

#[test]
fn histograms_are_told_in_the_unit_they_are_shown_in() {
    let metrics = Metrics::default();
    let description = Description {
        per: 1_000_000,
        ..Description::new("wait_seconds", "Waiting.", &["of"])
    };
    let waits = metrics.histograms_of(description, &[5_000, 1_000_000, 2_500_000]);
    let wait = waits.with(&["a"]);
    for micros in [5_000, 5_001, 2_000_000, 60_000_000] {
        wait.observe(micros);
    }
    assert_eq!(
        metrics.text(),
        "# HELP wait_seconds Waiting.\n\
         # TYPE wait_seconds histogram\n\
         wait_seconds_bucket{of=\"a\",le=\"0.005\"} 1\n\
         wait_seconds_bucket{of=\"a\",le=\"1\"} 2\n\
         wait_seconds_bucket{of=\"a\",le=\"2.5\"} 3\n\
         wait_seconds_bucket{of=\"a\",le=\"+Inf\"} 4\n\
         wait_seconds_sum{of=\"a\"} 62.010001\n\
         wait_seconds_count{of=\"a\"} 4\n"
    );
}

#[test]
fn what_is_counted_elsewhere_is_asked_for_when_somebody_looks() {
    let metrics = Metrics::default();
    let name = |name| Description::new(name, "Lines.", &[]);
    metrics.read_counter(name("lines_total"), &[], || Some(7));
    metrics.read_gauge(name("unknown"), &[], || None);
    metrics.read_counter(name("lines_total"), &[], || Some(8));
    assert_eq!(
        metrics.text(),
        "# HELP lines_total Lines.\n# TYPE lines_total counter\nlines_total 8\n\
         # HELP unknown Lines.\n# TYPE unknown gauge\n"
    );
}

#[test]
fn what_is_known_elsewhere_is_listed_as_it_is_now() {
    let metrics = Metrics::default();
    let named = || Description::new("up", "Whether it is.", &["of", "at"]);
    metrics.list_gauges(named(), Vec::new);
    assert_eq!(metrics.text(), "");
    metrics.list_gauges(named(), || vec![(vec!["a".to_owned(), "b\"".to_owned()], 1)]);
    assert_eq!(
        metrics.text(),
        "# HELP up Whether it is.\n# TYPE up gauge\nup{of=\"a\",at=\"b\\\"\"} 1\n"
    );
}

#[test]
fn a_gauge_goes_with_the_last_who_keeps_it_and_a_counter_stays() {
    let metrics = Metrics::default();
    let gauge = metrics.gauge("there", "Whether it is.", &[], &[]);
    metrics.counter("calls_total", "Calls.", &[], &[]).add(1);
    let again = metrics.gauge("there", "Whether it is.", &[], &[]);
    drop(gauge);
    again.set(1);
    assert!(metrics.text().contains("there 1"));
    drop(again);
    assert_eq!(
        metrics.text(),
        "# HELP calls_total Calls.\n# TYPE calls_total counter\ncalls_total 1\n"
    );
}

#[test]
fn a_counter_that_nobody_keeps_is_forgotten_a_day_after_its_last_change() {
    let metrics = Metrics::default();
    let kept = metrics.counter("calls_total", "Calls.", &["of"], &["kept"]);
    metrics
        .counter("calls_total", "Calls.", &["of"], &["gone"])
        .add(1);
    let start = Instant::now();
    let shown_after = |hours: u64| -> String {
        metrics
            .parts(start + Duration::from_secs(hours * 60 * 60))
            .filter(|text| text.contains("{of="))
            .collect()
    };
    assert!(shown_after(0).contains("gone"));
    metrics
        .counter("calls_total", "Calls.", &["of"], &["gone"])
        .add(1);
    assert!(shown_after(23).contains("gone"));
    assert!(shown_after(46).contains("gone"));
    let later = shown_after(47);
    assert!(!later.contains("gone"), "{later}");
    assert!(later.contains("kept"));
    assert_eq!(metrics.epoch(), 0);
    kept.add(1);
}

#[test]
fn series_that_expire_are_forgotten_though_they_are_kept_and_whoever_keeps_them_can_tell() {
    let metrics = Metrics::default();
    let description = Description {
        expire: Some(Duration::from_secs(60)),
        ..Description::new("calls_total", "Calls.", &[])
    };
    let calls = metrics.counters_of(description);
    let kept = calls.with::<&str>(&[]);
    let start = Instant::now();
    let is_shown = |second: u64| metrics.parts(start + Duration::from_secs(second)).count() > 0;
    assert!(is_shown(0));
    kept.add(1);
    assert!(is_shown(50));
    assert!(is_shown(109));
    assert_eq!(metrics.epoch(), 0);
    assert!(!is_shown(110));
    assert_eq!(metrics.epoch(), 1);
    calls.with::<&str>(&[]).add(1);
    assert!(metrics.text().ends_with("calls_total 1\n"));
}

#[test]
fn the_number_of_series_is_bounded() {
    let metrics = Metrics::default();
    for number in 0..MAX_SERIES + 10 {
        let name = number.to_string();
        metrics.counter("calls_total", "Calls.", &["of"], &[&name]).add(1);
        // Forsaken gauges make room.
        metrics.gauge("calls", "Calls.", &["of"], &[&name]).set(1);
    }
    let text = metrics.text();
    assert!(text.contains("calls_total{of=\"other\"} 10\n"));
    assert!(!text.contains("calls{of=\"other\"}"));
    assert_eq!(text.lines().count(), 2 + MAX_SERIES + 1);
}

#[test]
fn a_series_made_while_somebody_reads_disturbs_no_other() {
    let metrics = Metrics::default();
    let make = |number: usize| {
        let name = format!("{number:05}");
        metrics.counter("calls_total", "Calls.", &["of"], &[&name]).add(1);
    };
    (0..4_000).for_each(make);
    let mut parts = metrics.parts(Instant::now());
    let mut text = parts.next().unwrap();
    assert!(!text.contains("03999"), "all of it came in one part");
    // One before what was read already and one after it.
    metrics
        .counter("calls_total", "Calls.", &["of"], &["00000a"])
        .add(1);
    metrics
        .counter("calls_total", "Calls.", &["of"], &["99999"])
        .add(1);
    text.extend(parts);
    assert_eq!(text.lines().count(), 2 + 4_000 + 1);
    assert!((0..4_000).all(|number| text.contains(&format!("\"{number:05}\"}} 1\n"))));
}

#[test]
fn label_values_are_cut_between_characters() {
    let metrics = Metrics::default();
    let long = format!("{}é", "a".repeat(127));
    metrics.counter("calls_total", "Calls.", &["of"], &[&long]).add(1);
    let expected = format!("calls_total{{of=\"{}\"}} 1\n", "a".repeat(127));
    assert!(metrics.text().ends_with(&expected));
}

#[test]
fn the_manual_lists_every_metric_and_no_other() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let mut counted = BTreeSet::new();
    for file in sources(&root.join("crates")) {
        // Variables of access logs and members of its JSON lines are called so too.
        let path = file.to_string_lossy().replace('\\', "/");
        let is_other = ["/tests", "_tests.rs", "/format/", "/benches/", "/entry/"];
        // Tables of the ledger are called so too.
        let is_table = path.contains("/ledger/") && !path.ends_with("/numbers.rs");
        if is_table || is_other.iter().any(|part| path.contains(part)) {
            continue;
        }
        let text = fs::read_to_string(&file).unwrap();
        // Tests of a module are at its end.
        let code = text.split("#[cfg(test)]\nmod tests").next().unwrap_or_default();
        for quoted in code.split('"').skip(1).step_by(2) {
            let is_name = |byte: u8| byte.is_ascii_lowercase() || byte == b'_';
            // The cookies of people who are signed in, or are about to.
            let is_cookie = ["tollgate_session", "tollgate_oidc", "tollgate_refused"].contains(&quoted);
            if quoted.starts_with("tollgate_") && quoted.bytes().all(is_name) && !is_cookie {
                counted.insert(quoted.to_owned());
            }
        }
    }
    assert!(counted.len() > 40, "{counted:?}");
    let manual = fs::read_to_string(root.join("docs/metrics.md")).unwrap();
    let rows = manual.lines().filter_map(|line| line.strip_prefix("| `"));
    let told: BTreeSet<String> = rows
        .filter_map(|row| row.split('`').next())
        .filter(|name| name.starts_with("tollgate_"))
        .map(str::to_owned)
        .collect();
    let missing: Vec<_> = counted.difference(&told).collect();
    let invented: Vec<_> = told.difference(&counted).collect();
    assert!(
        missing.is_empty() && invented.is_empty(),
        "missing {missing:?}, invented {invented:?}"
    );
}

fn sources(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(sources(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
    found
}
