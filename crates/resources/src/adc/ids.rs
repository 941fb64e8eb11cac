//! Ids that ADC makes from names, so that a file without ids finds its objects again.

use std::fmt::Write;

use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};

/// The id of what is called `name`: its SHA-1 in lower case hexadecimal. For a route, `name` is `<service>.<route>`. The
/// digest is a name here and protects nothing.
pub(crate) fn id_of(name: &str) -> String {
    let mut id = String::with_capacity(40);
    for byte in digest(&SHA1_FOR_LEGACY_USE_ONLY, name.as_bytes()).as_ref() {
        // Writing to a string cannot fail.
        let _ = write!(id, "{byte:02x}");
    }
    id
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_those_that_the_adc_command_line_sends() {
        assert_eq!(
            id_of("ai-proxy-multi-service"),
            "92d4047478ae948f9786a123330bf22ba96bef63"
        );
        assert_eq!(
            id_of("ai-proxy-multi-service.ai-proxy-multi-route"),
            "2c64c8dd88e0e1fbcb4c3cd22598f0d9e68d0eee"
        );
        assert_eq!(
            id_of("johndoe.key-auth"),
            "a60ea41f64a706763696a583e8f013bfd74d4e12"
        );
    }
}
