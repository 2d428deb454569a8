//! The numbers of all threads at one moment, added up by metric and label value.

use crate::{Histogram, Kind, Metric};

/// One number of one metric.
#[derive(Clone, PartialEq, Debug)]
pub enum Value {
    /// Of a counter or gauge.
    Number(f64),
    /// Of a histogram.
    Histogram(Box<Histogram>),
}

/// One metric with one label value.
#[derive(Clone, PartialEq, Debug)]
pub struct Series {
    /// Which metric.
    pub metric: Metric,
    /// Index of its label value in [`crate::Label::values`]; `None` when the metric has no label.
    pub label: Option<usize>,
    /// The number.
    pub value: Value,
}

/// Series under construction, kept in catalogue order.
#[derive(Clone, Default, Debug)]
pub struct Snapshot {
    series: Vec<Series>,
}

impl Snapshot {
    /// A snapshot without any number.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    fn slot(&mut self, metric: Metric, label: Option<usize>) -> &mut Value {
        debug_assert_eq!(metric.label().is_some(), label.is_some(), "{metric:?}");
        debug_assert!(label.is_none_or(|index| metric.label().is_some_and(|l| index < l.values.len())));
        let at = match self
            .series
            .binary_search_by_key(&(metric as usize, label), |s| (s.metric as usize, s.label))
        {
            Ok(at) => at,
            Err(at) => {
                let value = match metric.kind() {
                    Kind::Histogram => Value::Histogram(Box::default()),
                    Kind::Counter | Kind::Gauge => Value::Number(0.0),
                };
                self.series.insert(at, Series { metric, label, value });
                at
            }
        };
        &mut self.series[at].value
    }

    fn add_to(&mut self, metric: Metric, label: Option<usize>, amount: f64) {
        match self.slot(metric, label) {
            Value::Number(number) => *number += amount,
            Value::Histogram(_) => debug_assert!(false, "{metric:?} is a histogram"),
        }
    }

    /// Adds one thread's number to a metric without label.
    pub fn add(&mut self, metric: Metric, amount: u64) {
        self.add_to(metric, None, amount as f64);
    }

    /// Adds one thread's number to a metric, for the label value of `index`.
    pub fn add_at(&mut self, metric: Metric, index: usize, amount: u64) {
        self.add_to(metric, Some(index), amount as f64);
    }

    /// Adds a fraction, for metrics in seconds or of ratios.
    pub fn add_fraction(&mut self, metric: Metric, amount: f64) {
        self.add_to(metric, None, amount);
    }

    /// Raises a gauge to one thread's number: the largest of all threads stays.
    pub fn max(&mut self, metric: Metric, number: u64) {
        match self.slot(metric, None) {
            Value::Number(held) => *held = held.max(number as f64),
            Value::Histogram(_) => debug_assert!(false, "{metric:?} is a histogram"),
        }
    }

    /// Adds one thread's histogram.
    pub fn merge(&mut self, metric: Metric, histogram: &Histogram) {
        match self.slot(metric, None) {
            Value::Histogram(held) => held.merge(histogram),
            Value::Number(_) => debug_assert!(false, "{metric:?} is no histogram"),
        }
    }

    /// All series in the order of the catalogue, those of one metric together.
    #[must_use]
    pub fn series(&self) -> &[Series] {
        &self.series
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn threads_add_up_and_metrics_keep_the_catalogue_order() {
        let mut snapshot = Snapshot::new();
        let mut histogram = Histogram::default();
        histogram.record(5);
        snapshot.merge(Metric::JournalSyncSeconds, &histogram);
        snapshot.add(Metric::EngineMessages, 2);
        snapshot.add(Metric::EngineMessages, 3);
        snapshot.max(Metric::EngineFlushDeliveriesMax, 7);
        snapshot.max(Metric::EngineFlushDeliveriesMax, 4);
        snapshot.merge(Metric::JournalSyncSeconds, &histogram);
        let numbers: Vec<_> = snapshot
            .series()
            .iter()
            .map(|s| match &s.value {
                Value::Number(number) => (s.metric, *number),
                Value::Histogram(histogram) => (s.metric, histogram.count() as f64),
            })
            .collect();
        assert_eq!(
            numbers,
            [
                (Metric::EngineMessages, 5.0),
                (Metric::EngineFlushDeliveriesMax, 7.0),
                (Metric::JournalSyncSeconds, 2.0)
            ]
        );
    }
}
