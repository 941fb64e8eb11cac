//! Amounts of money: whole pico-dollars, no floating point.

use std::fmt;
use std::iter::Sum;
use std::ops::Add;

/// An amount of money in whole pico-dollars (1e-12 US dollars).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Usd {
    pico: u128,
}

impl Usd {
    /// No money.
    pub const ZERO: Usd = Usd { pico: 0 };

    /// An amount of pico-dollars.
    pub const fn from_pico(pico: u128) -> Usd {
        Usd { pico }
    }

    /// An amount of micro-dollars.
    pub const fn from_micro(micro: u64) -> Usd {
        Usd {
            pico: micro as u128 * PICO_PER_MICRO,
        }
    }

    /// The amount in pico-dollars.
    pub const fn pico(self) -> u128 {
        self.pico
    }

    /// The amount in whole micro-dollars, half a micro-dollar upwards; at most what a database holds in a signed integer.
    pub fn micro(self) -> u64 {
        let whole = self.pico / PICO_PER_MICRO;
        let is_half = self.pico % PICO_PER_MICRO >= PICO_PER_MICRO / 2;
        u64::try_from(whole + u128::from(is_half)).map_or(MOST_MICRO, |micro| micro.min(MOST_MICRO))
    }

    /// So many times this amount.
    pub(crate) fn times(self, count: u64) -> Usd {
        Usd {
            pico: self.pico.saturating_mul(u128::from(count)),
        }
    }

    /// This amount times so many millionths, half a pico-dollar upwards.
    pub fn millionths(self, millionths: u64) -> Usd {
        let (whole, rest) = (self.pico / MILLION, self.pico % MILLION);
        let factor = u128::from(millionths);
        let rest = (rest * factor + MILLION / 2) / MILLION;
        Usd {
            pico: whole.saturating_mul(factor).saturating_add(rest),
        }
    }
}

impl Add for Usd {
    type Output = Usd;

    /// Sums stop at 3e26 dollars instead of overflowing.
    fn add(self, other: Usd) -> Usd {
        Usd {
            pico: self.pico.saturating_add(other.pico),
        }
    }
}

impl Sum for Usd {
    fn sum<I: Iterator<Item = Usd>>(amounts: I) -> Usd {
        amounts.fold(Usd::ZERO, Add::add)
    }
}

impl fmt::Display for Usd {
    /// Dollars, exact, without trailing zeros: `0.00040625`, `3`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (dollars, mut rest) = (self.pico / PICO_PER_DOLLAR, self.pico % PICO_PER_DOLLAR);
        if rest == 0 {
            return write!(f, "{dollars}");
        }
        let mut digits = 12;
        while rest.is_multiple_of(10) {
            rest /= 10;
            digits -= 1;
        }
        write!(f, "{dollars}.{rest:0digits$}")
    }
}

const MILLION: u128 = 1_000_000;
const PICO_PER_MICRO: u128 = 1_000_000;
const PICO_PER_DOLLAR: u128 = 1_000_000_000_000;
const MOST_MICRO: u64 = i64::MAX as u64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn money_is_written_exactly() {
        for (pico, text) in [
            (0, "0"),
            (1, "0.000000000001"),
            (PICO_PER_DOLLAR, "1"),
            (12_345_678_900_000_000, "12345.6789"),
        ] {
            assert_eq!(Usd::from_pico(pico).to_string(), text);
        }
        let million: Usd = std::iter::repeat_n(Usd::from_pico(1), 1_000_000).sum();
        assert_eq!(million.to_string(), "0.000001");
    }

    #[test]
    fn half_a_micro_dollar_is_rounded_up() {
        for (pico, micro) in [(0, 0), (499_999, 0), (500_000, 1), (1_499_999, 1), (1_500_000, 2)] {
            assert_eq!(Usd::from_pico(pico).micro(), micro, "{pico}");
        }
        assert_eq!(Usd::from_pico(u128::MAX).micro(), MOST_MICRO);
        assert_eq!(Usd::from_micro(7).micro(), 7);
    }

    #[test]
    fn a_share_of_an_amount_is_exact_to_the_pico_dollar() {
        assert_eq!(Usd::from_pico(1_000_001).millionths(1_500_000).pico(), 1_500_002);
        assert_eq!(Usd::from_pico(3).millionths(1_100_000).pico(), 3);
        assert_eq!(Usd::from_pico(u128::MAX).millionths(2_000_000).pico(), u128::MAX);
        assert_eq!(Usd::from_pico(42).millionths(1_000_000).pico(), 42);
    }
}
