//! When what could not be delivered is tried again: the example schedule of the Standard Webhooks specification, about three
//! days and a quarter. Pure.

/// Seconds from one attempt to the next.
const PAUSES: [i64; 9] = [5, 300, 1_800, 7_200, 18_000, 36_000, 50_400, 72_000, 86_400];

/// No receiver may ask for a longer pause.
const LONGEST: i64 = 86_400;

/// Up to so much later, so that those that failed together do not come back together.
const SPREAD: f64 = 0.2;

/// In how many seconds the next attempt is, after so many; `None` when it was the last. `chance` is between 0 and 1;
/// `asked`: how long the receiver wants to be left alone (Retry-After).
pub fn pause(attempts: i32, chance: f64, asked: Option<i64>) -> Option<f64> {
    let pause = *PAUSES.get(usize::try_from(attempts).ok()?.checked_sub(1)?)?;
    let pause = pause.max(asked.unwrap_or(0).clamp(0, LONGEST));
    Some(pause as f64 * (1.0 + SPREAD * chance.clamp(0.0, 1.0)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_until_it_is_given_up() {
        let pauses: Vec<_> = (1..=9).map(|attempts| pause(attempts, 0.0, None).unwrap()).collect();
        assert_eq!(pauses, [5.0, 300.0, 1_800.0, 7_200.0, 18_000.0, 36_000.0, 50_400.0, 72_000.0, 86_400.0]);
        assert_eq!(pause(10, 0.0, None), None);
        assert_eq!(pause(0, 0.0, None), None);
        assert_eq!(pause(i32::MIN, 0.0, Some(i64::MIN)), None);
        assert_eq!(pause(i32::MAX, 0.0, Some(i64::MAX)), None);
    }

    #[test]
    fn it_comes_later_by_chance_and_never_sooner() {
        assert_eq!(pause(2, 0.5, None), Some(330.0));
        assert_eq!(pause(2, 7.0, None), Some(360.0));
    }

    #[test]
    fn the_receiver_may_ask_for_more_and_not_for_less() {
        assert_eq!(pause(1, 0.0, Some(120)), Some(120.0));
        assert_eq!(pause(3, 0.0, Some(1)), Some(1_800.0));
        assert_eq!(pause(1, 0.0, Some(1_000_000)), Some(86_400.0));
        assert_eq!(pause(1, 0.0, Some(-5)), Some(5.0));
        assert_eq!(pause(10, 0.0, Some(5)), None);
    }
}
