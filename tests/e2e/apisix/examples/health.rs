//! `ai-proxy-multi` with active health checks.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::{DEEPSEEK, HOSTS, OPENAI, node, run, said};
use crate::apisix::Node;
use crate::apisix::node::CHAT;
use crate::apisix::vendors::Vendors;
use crate::harness::{Dialect, Upstream, answers, post};

fn vendor(vendors: &mut Vendors, host: &'static str, text: &'static str, ill: &Arc<AtomicBool>) -> Upstream {
    let ill = ill.clone();
    vendors.moody(host, move |asked| {
        if asked.path != "/status" {
            return (200, answers::whole(Dialect::OpenAi, text));
        }
        let status = if ill.load(Ordering::SeqCst) { 500 } else { 200 };
        (status, String::new())
    })
}

/// Whether one of so many calls is answered by that vendor.
fn answers_one_of(node: &Node, text: &str, calls: usize) -> bool {
    (0..calls).any(|_| said(node.send(&post("/anything", CHAT)).text()) == [text])
}

#[test]
fn an_instance_that_says_it_is_ill_gets_no_calls_until_it_is_well_again() {
    let mut vendors = Vendors::new(&HOSTS);
    let ill = Arc::new(AtomicBool::new(false));
    let _openai = vendor(&mut vendors, OPENAI, "of OpenAI", &ill);
    let _deepseek = vendor(&mut vendors, DEEPSEEK, "of DeepSeek", &Arc::default());
    let node = node(&vendors);
    let printed = run("health-checks", &node);
    let mut both = said(&printed);
    both.sort_unstable();
    assert_eq!(both, ["of DeepSeek", "of OpenAI"], "{printed}");
    assert!(printed.contains(r#""status":"healthy""#), "{printed}");
    ill.store(true, Ordering::SeqCst);
    let chat = post("/anything", CHAT);
    // Of two in turn, four in a row by one alone show that the other one is left out.
    node.until(&chat, |_| !answers_one_of(&node, "of OpenAI", 4));
    ill.store(false, Ordering::SeqCst);
    node.until(&chat, |_| answers_one_of(&node, "of OpenAI", 2));
    node.stop();
}
