//! The standalone file: what it says is served, a change is taken, a bad change is not.

use crate::harness::{Upstream, post};

use super::node::{CHAT, chat_route};
use super::{Node, NodeSetup};

const DATA_PLANE: &str = "deployment:\n  role: data_plane\n  role_data_plane: {config_provider: yaml}\n";

/// A file with one route.
fn file(uri: &str, upstream: &Upstream) -> String {
    format!("routes:\n  - {}\n#END\n", chat_route(uri, &upstream.base()))
}

/// A data plane; it begins with an empty file.
fn data_plane() -> Node {
    begin(NodeSetup::with_config(DATA_PLANE))
}

fn begin(setup: NodeSetup) -> Node {
    let directory = tempfile::tempdir().expect("a directory");
    std::fs::create_dir(directory.path().join("conf")).expect("a directory");
    std::fs::write(directory.path().join("conf/apisix.yaml"), "routes: []\n#END\n")
        .expect("a file can be written");
    setup.start_with(directory)
}

#[test]
fn a_change_of_the_file_is_served() {
    let (first, second) = (Upstream::good("of the first"), Upstream::good("of the second"));
    let node = data_plane();
    assert!(!node.has_admin(), "a data plane has no Admin API");
    let call = post("/chat", CHAT);
    assert_eq!(node.send(&call).status(), 404);
    for (upstream, text) in [(&first, "of the first"), (&second, "of the second")] {
        node.write("conf/apisix.yaml", &file("/chat", upstream));
        node.until(&call, |response| response.text().contains(text));
    }
    node.write("conf/apisix.yaml", &file("/elsewhere", &first));
    node.until(&call, |response| response.status() == 404);
    assert_eq!(node.chat("/elsewhere").status(), 200);
    node.stop();
}

#[test]
fn a_file_that_is_wrong_or_half_written_changes_nothing() {
    let upstream = Upstream::good("served");
    let node = data_plane();
    let call = post("/chat", CHAT);
    let good = file("/chat", &upstream);
    node.write("conf/apisix.yaml", &good);
    node.until(&call, |response| response.status() == 200);
    let refused = |times: usize| {
        // Told once for each file that is refused.
        node.process
            .stderr
            .times("the previous configuration keeps serving", times);
        assert_eq!(node.send(&call).status(), 200);
    };
    node.write("conf/apisix.yaml", "routes: [\n#END\n");
    refused(1);
    node.write("conf/apisix.yaml", "routes: []\n");
    refused(2);
    node.write("conf/apisix.yaml", "routes: {}\n#END\n");
    refused(3);
    node.write("conf/apisix.yaml", "routes: []\n#END\n");
    node.until(&call, |response| response.status() == 404);
    node.stop();
}

/// A file in which one of two routes cannot be served.
fn one_bad_route(upstream: &Upstream) -> String {
    file("/chat", upstream).replace(
        "#END",
        "  - {id: bad, uri: /bad, plugins: {ai-proxy: {provider: nobody, auth: {}}}}\n#END",
    )
}

#[test]
fn a_file_with_an_object_that_cannot_be_served_changes_nothing() {
    let (before, after) = (Upstream::good("before"), Upstream::good("after"));
    let node = data_plane();
    let call = post("/chat", CHAT);
    node.write("conf/apisix.yaml", &file("/chat", &before));
    node.until(&call, |response| response.status() == 200);
    node.write("conf/apisix.yaml", &one_bad_route(&after));
    node.process
        .stderr
        .times("the previous configuration keeps serving", 1);
    assert!(node.send(&call).text().contains("before"));
    node.stop();
}

#[test]
fn as_apisix_one_object_that_cannot_be_served_does_not_take_the_others_with_it() {
    let upstream = Upstream::good("served");
    let node = begin(NodeSetup::with_config(DATA_PLANE).strict());
    node.write("conf/apisix.yaml", &one_bad_route(&upstream));
    node.until(&post("/chat", CHAT), |response| response.status() == 200);
    assert_eq!(node.chat("/bad").status(), 404);
    let told = node.process.stderr.with("left out");
    assert!(told.contains("route bad") && told.contains("provider"), "{told}");
    node.stop();
}
