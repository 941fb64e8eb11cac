//! What must hold for any bytes that peers of telemetry send. Used by the fuzz targets and, over the checked-in corpora, by an
//! ordinary test of telemetry.

use tollgate_telemetry::kafka;

/// Runs the checks of a target.
///
/// # Panics
/// A check has failed, or there is no such target.
pub(crate) fn run(target: &str, bytes: &[u8]) {
    match target {
        "kafka_answer" => kafka_answer(bytes),
        other => panic!("no fuzz target is called {other}"),
    }
}

/// What is read of an answer does not depend on what comes after it: a broker may know a newer version than it says.
fn kafka_answer(bytes: &[u8]) {
    let Some(answer) = kafka::read_answer(bytes) else {
        return;
    };
    let longer = [bytes, &[0xff; 3]].concat();
    assert_eq!(kafka::read_answer(&longer), Some(answer));
}
