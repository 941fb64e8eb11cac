//! Puts large futures into boxes.

use std::pin::Pin;

/// The future that `make` gives, in a box.
///
/// The box is made first: then the few bytes that a future has before it is polled are written to their place in it. With
/// `Box::pin` all its room, most of it empty, is copied there, because making the box might fail when the future is there already.
#[inline(always)]
pub fn boxed<F: Future>(make: impl FnOnce() -> F) -> Pin<Box<F>> {
    let room = Box::new_uninit();
    Box::into_pin(Box::write(room, make()))
}

#[cfg(test)]
mod tests {
    use super::boxed;

    #[tokio::test]
    async fn a_boxed_future_is_the_same_future() {
        let text = "text".to_owned();
        assert_eq!(boxed(|| async move { text + "!" }).await, "text!");
    }
}
