//! Bounds of the buckets of our own histograms, in microseconds. They are those that OpenTelemetry's conventions for
//! generative AI advise, so that numbers from both compare, and two more for long answers.

/// Of whole calls and attempts.
pub(super) const DURATION: &[u64] = &[
    10_000,
    20_000,
    40_000,
    80_000,
    160_000,
    320_000,
    640_000,
    1_280_000,
    2_560_000,
    5_120_000,
    10_240_000,
    20_480_000,
    40_960_000,
    81_920_000,
    163_840_000,
    327_680_000,
];

/// Of times to the first token.
pub(super) const FIRST_TOKEN: &[u64] = &[
    1_000, 5_000, 10_000, 20_000, 40_000, 60_000, 80_000, 100_000, 250_000, 500_000, 750_000, 1_000_000,
    2_500_000, 5_000_000, 7_500_000, 10_000_000, 30_000_000,
];

/// Of times between tokens.
pub(super) const BETWEEN_TOKENS: &[u64] = &[
    10_000, 25_000, 50_000, 75_000, 100_000, 150_000, 200_000, 300_000, 400_000, 500_000, 750_000, 1_000_000,
    2_500_000,
];
