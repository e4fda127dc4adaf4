//! Counts and times as floating-point numbers.

/// Converts a count, or a time in nanoseconds, which is exact below 2^53.
#[expect(clippy::cast_precision_loss, reason = "counts and times are far below 2^53")]
pub(crate) const fn float(count: u64) -> f64 {
    count as f64
}

/// Converts the size of a collection.
#[expect(clippy::cast_precision_loss, reason = "sizes are far below 2^53")]
pub(crate) const fn float_of_size(size: usize) -> f64 {
    size as f64
}
