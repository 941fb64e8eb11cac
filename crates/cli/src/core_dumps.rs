//! Keys are in the memory of the process, so the memory is not written to the disk when the process dies.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Less than a page, so that no file is written, and the one value at which Linux gives no dump to a program either
/// (core(5), "Piping core dumps to a program").
const NONE: u64 = 1;

/// Lets the system keep no dump of the process. Who wants one raises the limit of the running process:
/// `prlimit --core=unlimited --pid <pid>`.
pub(crate) fn forbid() {
    let limits = Rlimit {
        current: Some(NONE),
        maximum: getrlimit(Resource::Core).maximum,
    };
    // Where even that much is forbidden, there are no dumps.
    let _ = setrlimit(Resource::Core, limits);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limit_can_be_raised_again() {
        let before = getrlimit(Resource::Core);
        forbid();
        let after = getrlimit(Resource::Core);
        assert!(after.current.is_some_and(|bytes| bytes <= NONE));
        assert_eq!(after.maximum, before.maximum);
    }
}
