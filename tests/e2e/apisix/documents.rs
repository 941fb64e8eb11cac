//! What the repository says about the Admin API is what the server serves.

use std::fs;

use serde_json::Value;

use super::NodeSetup;
use crate::harness::repository_file;

#[test]
fn the_description_of_the_admin_api_is_the_one_in_the_repository() {
    let node = NodeSetup::new().start();
    let served = node.ask("GET", "/openapi.json", None);
    assert_eq!(served.status(), 200);
    let file = fs::read(repository_file("docs/admin-openapi.json")).expect("the file");
    let written: Value = serde_json::from_slice(&file).expect("JSON");
    assert!(
        served.json() == written,
        "docs/admin-openapi.json is not what the server serves"
    );
    node.stop();
}
