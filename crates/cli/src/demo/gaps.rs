//! How long nothing was signed.

use std::time::{Duration, Instant};

/// The longest time without a signature from `from` to `to`, given all signatures in order of time.
pub(super) fn longest_silence(
    signatures: impl Iterator<Item = Instant>,
    from: Instant,
    to: Instant,
) -> Duration {
    let mut longest = Duration::ZERO;
    let mut last = from;
    for at in signatures.filter(|at| (from..=to).contains(at)).chain([to]) {
        longest = longest.max(at.duration_since(last));
        last = at;
    }
    longest
}

pub(super) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn silence_counts_at_both_ends_and_between() {
        let start = Instant::now();
        let at = |ms: u64| start + Duration::from_millis(ms);
        let longest =
            |signed: &[u64]| longest_silence(signed.iter().map(|ms| at(*ms)), at(100), at(1000)).as_millis();
        assert_eq!(longest(&[50, 150, 600, 900]), 450);
        assert_eq!(longest(&[50, 700, 900]), 600);
        assert_eq!(longest(&[50, 150]), 850);
        assert_eq!(longest(&[]), 900);
        assert_eq!(longest(&[150, 2000]), 850, "what comes after the end does not shorten the silence");
    }
}
