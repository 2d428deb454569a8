//! Per-shard counters and histograms, and the metric catalogue.
