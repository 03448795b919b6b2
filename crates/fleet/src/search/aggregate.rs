//! GetStatistics, GetCardinality, GetPercentiles and GetBucketsAggregation: what the values of a field are together.

use std::collections::BTreeMap;

use super::number;
use crate::limits::{BUCKETS_MAX, PERCENTS_MAX};
use crate::refusal::{Exception, Refusal};

/// What numbers are together.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Statistics {
    /// How many.
    pub count: u64,
    /// Their sum.
    pub sum: f64,
    /// The least.
    pub minimum: f64,
    /// The greatest.
    pub maximum: f64,
    /// The sum of their squares.
    pub sum_of_squares: f64,
}

impl Statistics {
    /// Their mean.
    pub fn average(&self) -> f64 {
        self.sum / as_number(self.count)
    }

    /// Their variance.
    pub fn variance(&self) -> f64 {
        (self.sum_of_squares / as_number(self.count) - self.average() * self.average()).max(0.0)
    }

    /// Their standard deviation.
    pub fn deviation(&self) -> f64 {
        self.variance().sqrt()
    }
}

#[expect(clippy::cast_precision_loss, reason = "counts of things fit into 53 bits")]
fn as_number(count: u64) -> f64 {
    count as f64
}

/// The values that are numbers.
pub fn numbers(values: &[String]) -> Vec<f64> {
    values.iter().filter_map(|value| number(value)).collect()
}

/// What numbers are together; `None` if there are none.
pub fn statistics(numbers: &[f64]) -> Option<Statistics> {
    let first = *numbers.first()?;
    let start = Statistics {
        count: 0,
        sum: 0.0,
        minimum: first,
        maximum: first,
        sum_of_squares: 0.0,
    };
    Some(numbers.iter().fold(start, |sum, number| Statistics {
        count: sum.count + 1,
        sum: sum.sum + number,
        minimum: sum.minimum.min(*number),
        maximum: sum.maximum.max(*number),
        sum_of_squares: sum.sum_of_squares + number * number,
    }))
}

/// How many different values there are, without regard to case.
pub fn cardinality(values: &[String]) -> usize {
    counted(values).len()
}

fn counted(values: &[String]) -> BTreeMap<String, u64> {
    let mut counts = BTreeMap::new();
    for value in values {
        *counts.entry(value.to_ascii_lowercase()).or_insert(0) += 1;
    }
    counts
}

/// Checks the percents of GetPercentiles; none named: those of AWS.
pub fn check_percents(percents: Vec<f64>) -> Result<Vec<f64>, Refusal> {
    if percents.is_empty() {
        return Ok(vec![1.0, 5.0, 25.0, 50.0, 75.0, 95.0, 99.0]);
    }
    if percents.len() > PERCENTS_MAX || percents.iter().any(|percent| !(0.0..=100.0).contains(percent)) {
        return Err(Refusal::new(
            Exception::InvalidAggregation,
            "fleet.search.percents",
            format!("percents are at most {PERCENTS_MAX} numbers from 0 to 100"),
        ));
    }
    Ok(percents)
}

/// The value below which so many percent of the numbers are, between two of them in proportion.
pub fn percentiles(mut numbers: Vec<f64>, percents: &[f64]) -> Vec<(f64, f64)> {
    numbers.sort_by(f64::total_cmp);
    let Some(last) = numbers.len().checked_sub(1) else {
        return Vec::new();
    };
    let value = |percent: f64| {
        let place = percent / 100.0 * as_number(last as u64);
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a place in the list, rounded down"
        )]
        let below = (place.floor() as usize).min(last);
        let (low, high) = (numbers.get(below), numbers.get((below + 1).min(last)));
        let (low, high) = (
            low.copied().unwrap_or_default(),
            high.copied().unwrap_or_default(),
        );
        low + (high - low) * place.fract()
    };
    percents
        .iter()
        .map(|percent| (*percent, value(*percent)))
        .collect()
}

/// A value and how often it was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bucket {
    /// The value in lower case.
    pub value: String,
    /// How often.
    pub count: u64,
}

/// The most frequent values first.
pub fn buckets(values: &[String], most: Option<i64>) -> Result<Vec<Bucket>, Refusal> {
    let most = usize::try_from(most.unwrap_or(10))
        .ok()
        .filter(|most| (1..=BUCKETS_MAX).contains(most));
    let Some(most) = most else {
        return Err(Refusal::new(
            Exception::InvalidAggregation,
            "fleet.search.buckets",
            format!("maxBuckets is 1 to {BUCKETS_MAX}"),
        ));
    };
    let mut buckets: Vec<Bucket> = counted(values)
        .into_iter()
        .map(|(value, count)| Bucket { value, count })
        .collect();
    buckets.sort_by(|one, other| {
        other
            .count
            .cmp(&one.count)
            .then_with(|| one.value.cmp(&other.value))
    });
    buckets.truncate(most);
    Ok(buckets)
}
