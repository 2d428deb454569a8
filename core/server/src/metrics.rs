//! `/metrics`: the numbers of all threads added up, in the OpenMetrics text format.
//!
//! Threads count in plain integers and publish copies; a scrape adds the copies up and hands them to `prometheus-client` as
//! one collector. Its own counters and registries are not used: they would be atomics shared by shards.

use lynk_engine::Counters;
use lynk_journal::WriterCounts;
use lynk_reactor::{ReactorCounters, ShardSnapshot};
use lynk_telemetry::{BUCKETS, Histogram, Kind, Metric, Snapshot, Value};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{
    DescriptorEncoder, EncodeLabelSet, LabelSetEncoder, MetricEncoder, NoLabelSet,
};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::Registry;

use crate::health::{Health, Phase};
use crate::os;

/// The text of a scrape.
pub(crate) fn scrape(health: &Health) -> String {
    let mut registry = Registry::default();
    registry.register_collector(Box::new(Numbers(collect(health))));
    let mut out = String::with_capacity(32 << 10);
    match prometheus_client::encoding::text::encode(&mut out, &registry) {
        Ok(()) => out,
        Err(_) => unreachable!("a String takes every write"),
    }
}

fn collect(health: &Health) -> Snapshot {
    let mut snapshot = Snapshot::new();
    if let Some(parts) = health.parts() {
        for board in &parts.shards {
            add_shard(&mut snapshot, &board.read());
        }
        parts.requests.read().add_to(&mut snapshot);
        parts.drain.read().add_to(&mut snapshot);
        parts.store.add_to(&mut snapshot);
        if let Some(events) = &parts.events {
            events.add_to(&mut snapshot);
        }
        parts.api.add_to(&mut snapshot);
        parts.accounts.add_to(&mut snapshot);
        parts.presence.add_to(&mut snapshot);
        parts.names.add_to(&mut snapshot);
        parts.compute.add_to(&mut snapshot);
        for bridge in &parts.bridges {
            (bridge.add_to)(&mut snapshot);
        }
        if let Some((media, images)) = &parts.media {
            media.add_to(&mut snapshot);
            images.add_to(&mut snapshot);
        }
        if let Some(push) = &parts.push {
            push.add_to(&mut snapshot);
        }
        if let Some(sms) = &parts.sms {
            sms.add_to(&mut snapshot);
        }
        snapshot.add(Metric::JournalDisk, parts.journal.used());
        snapshot.add(Metric::JournalDiskMax, parts.journal.max());
        snapshot.add(Metric::ProcessShards, parts.shards.len() as u64);
        if let Some(max) = parts.files_max {
            snapshot.add(Metric::ProcessFilesMax, max);
        }
    }
    if let Some(counts) = health.notifier() {
        counts.add_to(&mut snapshot);
    }
    snapshot.add_fraction(Metric::ProcessCpu, os::cpu_seconds());
    snapshot.add_fraction(Metric::ProcessStart, health.started_unix_millis() as f64 / 1e3);
    snapshot.add(Metric::ProcessAdminDrops, health.admin_drops());
    snapshot.add(Metric::ProcessReady, u64::from(health.phase() == Phase::Ready));
    if let Some(bytes) = os::status_bytes("VmRSS") {
        snapshot.add(Metric::ProcessResident, bytes);
    }
    if let Some(open) = os::open_files() {
        snapshot.add(Metric::ProcessOpenFiles, open);
    }
    snapshot
}

fn add_shard(snapshot: &mut Snapshot, shard: &ShardSnapshot) {
    add_reactor(snapshot, &shard.reactor);
    add_engine(snapshot, &shard.engine);
    add_journal(snapshot, &shard.journal);
    snapshot.merge(Metric::JournalSyncSeconds, &shard.journal_sync);
    snapshot.merge(Metric::ReactorTurnSeconds, &shard.turns);
}

fn add_reactor(snapshot: &mut Snapshot, counts: &ReactorCounters) {
    for (metric, count) in [
        (Metric::ReactorConnections, counts.connections),
        (Metric::ReactorHalfOpen, counts.half_open),
        (Metric::ReactorAccepts, counts.accepted),
        (Metric::ReactorAcceptPauses, counts.accept_paused),
        (Metric::ReactorAcceptFull, counts.accept_full),
        (Metric::ReactorRequestsRefused, counts.refused_requests),
        (Metric::ReactorAnswersDropped, counts.answers_dropped),
        (Metric::ReactorQueued, counts.queued_bytes),
        (Metric::ReactorReceived, counts.received_bytes),
        (Metric::ReactorSent, counts.sent_bytes),
        (Metric::ReactorSendsShort, counts.sends_short),
        (Metric::ReactorMail, counts.mail_posted),
        (Metric::ReactorMailRefused, counts.mail_refused),
        (Metric::ReactorWakes, counts.wakes),
        (Metric::ReactorWakesFailed, counts.wakes_failed),
        (Metric::ReactorStoreRefused, counts.store_refused),
        (Metric::ReactorStoreInFlight, counts.store_in_flight),
        (Metric::ReactorRingPressure, counts.ring_pressure),
        (Metric::ReactorTurns, counts.turns),
        (Metric::ReactorStalls, counts.stalls),
        (Metric::ReactorClockJumps, counts.clock_jumps),
    ] {
        snapshot.add(metric, count);
    }
    let refused = [counts.refused_full, counts.refused_half_open, counts.accept_failed];
    for (index, count) in refused.into_iter().enumerate() {
        snapshot.add_at(Metric::ReactorAcceptsRefused, index, count);
    }
    for (index, count) in counts.ended.iter().enumerate() {
        snapshot.add_at(Metric::ReactorEnds, index, *count);
    }
    // Dropped: the bridge has the rest of these numbers.
    snapshot.add_at(Metric::PresenceMirrored, 1, counts.presence_dropped);
    snapshot.add_at(Metric::ReactorSends, 0, counts.sends);
    snapshot.add_at(Metric::ReactorSends, 1, counts.sends_slow);
    snapshot.max(Metric::ReactorMailWaitingMax, counts.mail_waiting_max);
    snapshot.max(Metric::ReactorTurnMax, counts.turn_nanos_max);
    snapshot.max(Metric::EngineFlushDeliveriesMax, counts.flush_deliveries_max);
}

fn add_engine(snapshot: &mut Snapshot, counts: &Counters) {
    for (metric, count) in [
        (Metric::EngineCommands, counts.commands),
        (Metric::EngineSignIns, counts.sign_ins),
        (Metric::EngineMessages, counts.messages),
        (Metric::EngineEvents, counts.events),
        (Metric::EngineDeliveries, counts.deliveries),
        (Metric::EngineShed, counts.shed),
        (Metric::EngineResyncs, counts.resyncs),
        (Metric::EngineRepeats, counts.repeats),
        (Metric::EngineRoomLoads, counts.room_loads),
        (Metric::EngineRoomEvictions, counts.room_evictions),
        (Metric::EngineRetentions, counts.retentions),
        (Metric::EngineNotesLost, counts.notes_lost),
        (Metric::EngineStoreFailures, counts.store_failures),
        (Metric::PresenceMissed, counts.presence_missed),
    ] {
        snapshot.add(metric, count);
    }
    let codes = Metric::EngineRejects.label().map_or(0, |label| label.values.len());
    for (index, count) in counts.rejects.iter().enumerate().take(codes).skip(1) {
        snapshot.add_at(Metric::EngineRejects, index, *count);
    }
    for (index, count) in counts.closes.iter().enumerate() {
        snapshot.add_at(Metric::EngineCloses, index, *count);
    }
    snapshot.merge(Metric::EngineAckSeconds, &counts.acks);
    snapshot.merge(Metric::EngineReplicatedSeconds, &counts.replications);
    snapshot.max(Metric::EngineFlushDeliveriesMax, counts.flush_deliveries_max);
}

fn add_journal(snapshot: &mut Snapshot, counts: &WriterCounts) {
    snapshot.add(Metric::JournalRecords, counts.records);
    snapshot.add(Metric::JournalBatches, counts.batches);
    snapshot.add(Metric::JournalBytes, counts.bytes);
    snapshot.add(Metric::JournalSegments, counts.segments);
    snapshot.add(Metric::JournalFullWrites, counts.full_writes);
}

/// A snapshot as a collector.
#[derive(Debug)]
struct Numbers(Snapshot);

/// One label with one value.
#[derive(Debug)]
struct OneLabel(&'static str, &'static str);

impl EncodeLabelSet for OneLabel {
    fn encode(&self, encoder: &mut LabelSetEncoder<'_>) -> Result<(), std::fmt::Error> {
        use prometheus_client::encoding::EncodeLabel as _;
        (self.0, self.1).encode(encoder.encode_label())
    }
}

impl Collector for Numbers {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        for family in self.0.series().chunk_by(|a, b| a.metric == b.metric) {
            let Some(first) = family.first() else { continue };
            let metric = first.metric;
            let kind = match metric.kind() {
                Kind::Counter => MetricType::Counter,
                Kind::Gauge => MetricType::Gauge,
                Kind::Histogram => MetricType::Histogram,
            };
            // The encoder adds `_total` to counters.
            let name = metric.name().strip_suffix("_total").unwrap_or(metric.name());
            let mut encoder = encoder.encode_descriptor(name, metric.help(), None, kind)?;
            for series in family {
                if let (Some(index), Some(label)) = (series.label, metric.label()) {
                    let labels = OneLabel(label.name, label.values.get(index).copied().unwrap_or("other"));
                    encode_value(&mut encoder.encode_family(&labels)?, metric.kind(), &series.value)?;
                } else {
                    encode_value(&mut encoder, metric.kind(), &series.value)?;
                }
            }
        }
        Ok(())
    }
}

fn encode_value(encoder: &mut MetricEncoder<'_>, kind: Kind, value: &Value) -> Result<(), std::fmt::Error> {
    match (kind, value) {
        (Kind::Counter, Value::Number(number)) => {
            encoder.encode_counter::<NoLabelSet, f64, f64>(number, None)
        }
        (_, Value::Number(number)) => encoder.encode_gauge(number),
        (_, Value::Histogram(histogram)) => encode_histogram(encoder, histogram),
    }
}

fn encode_histogram(encoder: &mut MetricEncoder<'_>, histogram: &Histogram) -> Result<(), std::fmt::Error> {
    let bound = |index: usize| {
        if index < BUCKETS { Histogram::bound_nanos(index) as f64 / 1e9 } else { f64::INFINITY }
    };
    let buckets: Vec<(f64, u64)> =
        histogram.buckets().iter().enumerate().map(|(index, count)| (bound(index), *count)).collect();
    let sum = histogram.sum_nanos() as f64 / 1e9;
    encoder.encode_histogram::<NoLabelSet>(sum, histogram.count(), &buckets, None)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn label_values_are_those_of_the_crates_that_count() {
        let codes = Metric::EngineRejects.label().expect("a label").values;
        let known: Vec<_> = lynk_protocol::ErrorCode::ALL.iter().map(|code| code.name()).collect();
        assert_eq!(codes[1..], known);
        let closes: Vec<_> =
            lynk_protocol::CloseCode::ALL.iter().map(|code| code.number().to_string()).collect();
        assert_eq!(Metric::EngineCloses.label().expect("a label").values, closes);
        let topics: Vec<_> = lynk_model::event::Topic::ALL.iter().map(|topic| topic.name()).collect();
        assert_eq!(Metric::KafkaPublished.label().expect("a label").values, topics);
        let reasons: Vec<_> =
            lynk_connection::EndReason::all().map(lynk_connection::EndReason::name).collect();
        assert_eq!(Metric::ReactorEnds.label().expect("a label").values, reasons);
    }

    #[test]
    fn a_scrape_has_every_kind_of_metric_in_the_text_format() {
        let mut snapshot = Snapshot::new();
        let mut shard = ShardSnapshot::default();
        shard.engine.messages = 7;
        shard.engine.rejects[16] = 2;
        shard.reactor.connections = 3;
        shard.turns.record(1_500);
        add_shard(&mut snapshot, &shard);
        let mut registry = Registry::default();
        registry.register_collector(Box::new(Numbers(snapshot)));
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &registry).expect("a String");
        for line in [
            "# HELP lynk_engine_messages Messages ordered.",
            "# TYPE lynk_engine_messages counter",
            "lynk_engine_messages_total 7.0",
            "lynk_engine_rejects_total{code=\"rate_limited\"} 2.0",
            "lynk_reactor_connections 3.0",
            "lynk_reactor_turn_duration_seconds_sum 0.0000015",
            "lynk_reactor_turn_duration_seconds_count 1",
            "lynk_reactor_turn_duration_seconds_bucket{le=\"+Inf\"} 1",
        ] {
            assert!(text.lines().any(|found| found == line), "{line} is missing in\n{text}");
        }
        assert!(text.ends_with("# EOF\n"));
    }
}
