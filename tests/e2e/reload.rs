//! A changed configuration takes effect at once and as a whole; a bad one changes nothing; open streams go on.

use crate::harness::{Dialect, Gateway, PATIENCE, Setup, Upstream, post};

/// A configuration that serves these models from one provider.
fn serving(models: &[&str], upstream: &Upstream) -> String {
    let models: String = models
        .iter()
        .map(|model| format!("  {model}: {{provider: p}}\n"))
        .collect();
    format!(
        "models:\n{models}providers:\n{}",
        Dialect::OpenAi.provider("p", upstream)
    )
}

#[track_caller]
fn status_of(gateway: &Gateway, model: &str) -> u16 {
    gateway
        .send(&post(
            "/v1/chat/completions",
            Dialect::OpenAi.request(model, false),
        ))
        .status()
}

#[test]
fn a_new_model_serves_after_the_file_has_changed() {
    let upstream = Upstream::good("served");
    let gateway = Setup::new(serving(&["old"], &upstream)).start();
    assert_eq!(
        (status_of(&gateway, "old"), status_of(&gateway, "new")),
        (200, 404)
    );
    gateway.write_config(&serving(&["new"], &upstream));
    gateway.stderr().with("configuration reloaded");
    assert_eq!(
        (status_of(&gateway, "old"), status_of(&gateway, "new")),
        (404, 200)
    );
    gateway.stop();
}

#[test]
fn a_hangup_reloads_a_file_that_has_not_changed() {
    let upstream = Upstream::good("served");
    let gateway = Setup::new(serving(&["m"], &upstream)).start();
    gateway.signal("HUP");
    gateway.stderr().with("configuration reloaded");
    assert_eq!(status_of(&gateway, "m"), 200);
    gateway.stop();
}

#[test]
fn a_bad_file_is_refused_with_all_reasons_and_the_old_one_serves() {
    let upstream = Upstream::good("served");
    let gateway = Setup::new(serving(&["old"], &upstream)).start();
    let bad = format!(
        "{}models_: 1\n",
        serving(&["new"], &upstream).replace("provider: p", "provder: p")
    );
    gateway.write_config(&bad);
    let provider = gateway.stderr().with("provder");
    assert!(
        provider.contains("tollgate.yaml:") && provider.contains("models.new"),
        "{provider}"
    );
    gateway.stderr().with("models_");
    gateway.stderr().with("the previous configuration keeps serving");
    assert_eq!(
        (status_of(&gateway, "old"), status_of(&gateway, "new")),
        (200, 404)
    );

    // And a good one after it is taken.
    gateway.write_config(&serving(&["new"], &upstream));
    gateway.stderr().with("configuration reloaded");
    assert_eq!(
        (status_of(&gateway, "old"), status_of(&gateway, "new")),
        (404, 200)
    );
    gateway.stop();
}

#[test]
fn files_that_are_no_configuration_are_refused() {
    let upstream = Upstream::good("served");
    let deep = format!("models: {}{}\n", "[".repeat(10_000), "]".repeat(10_000));
    let bomb = "a: &a [x, x, x, x, x, x, x, x, x]\nb: &b [*a, *a, *a, *a, *a, *a, *a, *a, *a]\n\
                c: &c [*b, *b, *b, *b, *b, *b, *b, *b, *b]\nd: &d [*c, *c, *c, *c, *c, *c, *c, *c, *c]\n\
                e: &e [*d, *d, *d, *d, *d, *d, *d, *d, *d]\nf: &f [*e, *e, *e, *e, *e, *e, *e, *e, *e]\n\
                g: &g [*f, *f, *f, *f, *f, *f, *f, *f, *f]\nmodels: {m: {options: {x: *g}}}\n";
    for bad in [
        "",
        "models: {}\n",
        "models: [1]\n",
        "\tmodels: {}\n",
        "models: {m: {provider: nobody}}\n",
        "{",
        &deep,
        bomb,
    ] {
        let gateway = Setup::new(serving(&["old"], &upstream)).start();
        gateway.write_config(bad);
        gateway.stderr().with("the previous configuration keeps serving");
        assert_eq!(status_of(&gateway, "old"), 200);
        gateway.stop();
    }
}

#[test]
fn a_stream_ends_normally_although_its_model_is_gone() {
    let (upstream, proceed) = Upstream::paused("first", "last");
    let other = Upstream::good("served");
    let gateway = Setup::new(serving(&["old"], &upstream)).start();
    let mut stream = gateway.connect().stream(&post(
        "/v1/chat/completions",
        Dialect::OpenAi.request("old", true),
    ));
    stream.until("first");
    gateway.write_config(&serving(&["new"], &other));
    gateway.stderr().with("configuration reloaded");
    assert_eq!(
        (status_of(&gateway, "old"), status_of(&gateway, "new")),
        (404, 200)
    );
    proceed.send(()).expect("the provider waits");
    stream.until("last");
    stream.is_done();
    gateway.stop();
}

#[test]
fn a_stream_ends_normally_although_a_bad_file_was_refused() {
    let (upstream, proceed) = Upstream::paused("first", "last");
    let gateway = Setup::new(serving(&["old"], &upstream)).start();
    let mut stream = gateway.connect().stream(&post(
        "/v1/chat/completions",
        Dialect::OpenAi.request("old", true),
    ));
    stream.until("first");
    gateway.write_config("models: 7\n");
    gateway.stderr().with("the previous configuration keeps serving");
    proceed.send(()).expect("the provider waits");
    stream.is_done();
    gateway.stop();
}

#[test]
fn many_reloads_in_a_row_end_in_the_last_configuration() {
    let upstream = Upstream::good("served");
    let gateway = Setup::new(serving(&["m0"], &upstream)).start();
    for number in 1..=30 {
        gateway.write_config(&serving(&[&format!("m{number}")], &upstream));
        gateway.signal("HUP");
    }
    let deadline = std::time::Instant::now() + PATIENCE;
    while status_of(&gateway, "m30") != 200 {
        assert!(
            std::time::Instant::now() < deadline,
            "the last configuration is not served"
        );
    }
    assert_eq!(status_of(&gateway, "m29"), 404);
    gateway.stop();
}
