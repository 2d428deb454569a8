//! What a run prints.

use hdrhistogram::Histogram;
use serde::Serialize;
use serde_json::{Value, json};

/// Share of a core above which the generator calls its own run invalid.
pub(crate) const GENERATOR_SHARE_MAX: f64 = 0.8;

/// Percentiles of a histogram of microseconds.
#[derive(Serialize, Clone, Debug)]
pub(crate) struct Latency {
    pub(crate) count: u64,
    pub(crate) p50_us: u64,
    pub(crate) p90_us: u64,
    pub(crate) p99_us: u64,
    #[serde(rename = "p99.9_us")]
    pub(crate) p999_us: u64,
    #[serde(rename = "p99.99_us")]
    pub(crate) p9999_us: u64,
    pub(crate) max_us: u64,
}

impl Latency {
    pub(crate) fn of(histogram: &Histogram<u64>) -> Self {
        Self {
            count: histogram.len(),
            p50_us: histogram.value_at_quantile(0.5),
            p90_us: histogram.value_at_quantile(0.9),
            p99_us: histogram.value_at_quantile(0.99),
            p999_us: histogram.value_at_quantile(0.999),
            p9999_us: histogram.value_at_quantile(0.9999),
            max_us: histogram.max(),
        }
    }
}

/// A histogram of microseconds from 1 µs to 2 minutes, three digits.
pub(crate) fn histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(1, 120_000_000, 3).expect("constant bounds are valid")
}

/// Median of some ratios with the interval that holds the true median with at least 95 % confidence, whatever their
/// distribution: between two of the ratios, counted from both ends (`null` for fewer than six), and the middle half.
pub(crate) fn spread(ratios: &[f64]) -> Value {
    let mut sorted = ratios.to_vec();
    sorted.sort_by(f64::total_cmp);
    let at = |q: f64| -> f64 {
        let position = q * (sorted.len() - 1) as f64;
        let (low, high) = (position.floor() as usize, position.ceil() as usize);
        let part = position - position.floor();
        sorted[low] * (1.0 - part) + sorted[high] * part
    };
    if sorted.is_empty() {
        return Value::Null;
    }
    let interval = median_rank(sorted.len())
        .map(|rank| json!([round(sorted[rank - 1]), round(sorted[sorted.len() - rank])]));
    json!({
        "pairs": sorted.len(),
        "median": round(at(0.5)),
        "interval_95": interval,
        "quartile_low": round(at(0.25)),
        "quartile_high": round(at(0.75)),
        "min": round(sorted[0]),
        "max": round(sorted[sorted.len() - 1]),
    })
}

/// The largest rank, from 1, such that the median lies between the values at this rank from either end with a
/// probability of at least 95 %: each value is above or below the median like the toss of a coin.
fn median_rank(count: usize) -> Option<usize> {
    let mut below = 0.0;
    let mut ways = 1.0;
    let mut rank = 0;
    while rank < count / 2 {
        below += ways / 2f64.powi(i32::try_from(count).ok()?);
        if 2.0 * below > 0.05 {
            break;
        }
        ways *= (count - rank) as f64 / (rank + 1) as f64;
        rank += 1;
    }
    (rank > 0).then_some(rank)
}

pub(crate) fn round(value: f64) -> f64 {
    (value * 10_000.0).round() / 10_000.0
}

/// Prints `result` as JSON, or one line per field for people.
#[expect(clippy::print_stdout, reason = "the result of a command goes to stdout")]
pub(crate) fn print(result: &Value, as_json: bool) {
    if as_json {
        println!("{result}");
        return;
    }
    let Value::Object(fields) = result else { return println!("{result}") };
    for (name, value) in fields {
        match value {
            Value::Object(inner) => {
                let parts: Vec<String> = inner.iter().map(|(k, v)| format!("{k} {v}")).collect();
                println!("{name:28} {}", parts.join("  "));
            }
            other => println!("{name:28} {other}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_interval_of_a_median_has_the_known_ranks() {
        // From tables of the sign test.
        let known = [
            (5, None),
            (6, Some(1)),
            (8, Some(1)),
            (9, Some(2)),
            (11, Some(2)),
            (12, Some(3)),
            (20, Some(6)),
        ];
        for (count, rank) in known {
            assert_eq!(median_rank(count), rank, "{count}");
        }
        let spread = spread(&[1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0, 10.0, 11.0]);
        assert_eq!((&spread["median"], &spread["interval_95"]), (&json!(6.0), &json!([2.0, 10.0])));
    }
}
