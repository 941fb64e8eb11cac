//! Where a value stands in its document, such as `messages[2].content[0].text`.
//!
//! Every object that is read knows its path, and few ever tell it. So paths are put together in one go, without the formatter.

/// An element of the list at `list`.
pub(crate) fn item(list: &str, index: impl itoa::Integer) -> String {
    let mut digits = itoa::Buffer::new();
    [list, "[", digits.format(index), "]"].concat()
}

/// A member of the object at `object`; of the whole document if that is empty.
pub(crate) fn member(object: &str, name: &str) -> String {
    match object {
        "" => name.to_owned(),
        _ => [object, ".", name].concat(),
    }
}

#[cfg(test)]
mod tests {
    use super::{item, member};

    #[test]
    fn a_path_says_where_a_value_stands() {
        let message = item("messages", 12);
        assert_eq!(message, "messages[12]");
        assert_eq!(member(&message, "content"), "messages[12].content");
        assert_eq!(member("", "model"), "model");
    }
}
