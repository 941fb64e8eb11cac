//! Budgets that several gateways count together in Redis.

use tempfile::tempdir;

use super::{MODELS, start_with};
use crate::harness::redis::RedisServer;

#[test]
fn two_gateways_on_one_redis_share_a_budget() {
    let server = RedisServer::start(&[]);
    let config = format!(
        "{MODELS}consumers:\n  alice: {{key: alices-key, models: [\"*\"], budget: {{usd: 0.05, per: total}}}}\ngovernance:\n  \
         redis: {{address: \"127.0.0.1:{}\"}}\n",
        server.port
    );
    let folders = [tempdir().expect("a directory"), tempdir().expect("a directory")];
    let nodes = folders.each_ref().map(|folder| start_with(&config, folder));
    let mut served = 0;
    for _ in 0..4 {
        for node in &nodes {
            served += usize::from(node.call("alices-key", "cent").status() == 200);
        }
    }
    assert_eq!(served, 5);
    for node in nodes {
        assert_eq!(node.spent("consumer.alice.usd.total"), "0.050000");
        node.gateway.stop();
    }
}

#[test]
fn without_redis_each_gateway_goes_by_what_it_has_counted_or_refuses() {
    for (on_down, expected) in [("allow", [200, 429]), ("refuse", [503, 503])] {
        let server = RedisServer::start(&[]);
        let config = format!(
            "{MODELS}consumers:\n  alice: {{key: alices-key, models: [\"*\"], budget: {{usd: 0.02, per: total}}}}\ngovernance:\n  \
             redis: {{address: \"127.0.0.1:{}\", timeout: 200ms}}\n  on_redis_down: {on_down}\n",
            server.port
        );
        let data = tempdir().expect("a directory");
        let node = start_with(&config, &data);
        assert_eq!(node.call("alices-key", "cent").status(), 200);
        server.pause();
        let statuses = [(); 2].map(|()| node.call("alices-key", "cent").status());
        assert_eq!(statuses, expected, "{on_down}");
        server.resume();
        node.gateway.stop();
    }
}
