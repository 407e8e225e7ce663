//! What is read anew at each scrape.

use std::{fmt, time::SystemTime};

use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, NoLabelSet},
    metrics::MetricType,
};
use shivneri_core::{health, registry::ProviderView};
use shivneri_spool::{Commits, Stats, Status};

/// The spool and the providers at one moment.
#[derive(Debug)]
pub(super) struct Present {
    pub(super) version: String,
    pub(super) stats: Stats,
    pub(super) commits: Commits,
    pub(super) providers: Vec<ProviderView>,
    pub(super) now: SystemTime,
}

impl Collector for Present {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        self.providers(&mut encoder)?;
        self.queue(&mut encoder)?;
        self.duplicates(&mut encoder)?;
        self.commits(&mut encoder)?;
        let help = "The version that runs.";
        let build = ("shivneri_build_info", help, vec![([("version", &*self.version)], 1.0)]);
        gauges(&mut encoder, build)
    }
}

/// A name, a help text, and a value for each set of labels.
type Gauges<'a, const N: usize> =
    (&'static str, &'static str, Vec<([(&'static str, &'a str); N], f64)>);

fn gauges<const N: usize>(
    encoder: &mut DescriptorEncoder<'_>,
    (name, help, values): Gauges<'_, N>,
) -> fmt::Result {
    let mut family = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
    for (labels, value) in values {
        if labels.is_empty() {
            family.encode_gauge(&value)?;
        } else {
            family.encode_family(&labels)?.encode_gauge(&value)?;
        }
    }
    Ok(())
}

impl Present {
    fn providers(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let mut statuses = Vec::new();
        let mut in_flight = Vec::new();
        for provider in &self.providers {
            let id = ("provider", provider.id.as_str());
            for status in health::Status::ALL {
                let present = f64::from(u8::from(status == provider.status));
                statuses.push(([id, ("status", status.as_str())], present));
            }
            in_flight.push(([id], f64::from(provider.in_flight)));
        }
        let help = "1 for the provider's present status.";
        gauges(encoder, ("shivneri_provider_status", help, statuses))?;
        let help = "Attempts that are out.";
        gauges(encoder, ("shivneri_provider_in_flight", help, in_flight))
    }

    fn queue(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let mut messages = Vec::new();
        let mut oldest = Vec::new();
        for lane in &self.stats.lanes {
            let name = ("lane", lane.lane.as_str());
            for status in Status::ALL {
                let count = lane.states.get(&status).copied().unwrap_or_default();
                messages.push(([name, ("state", status.as_str())], count as f64));
            }
            let age = lane.oldest.and_then(|since| self.now.duration_since(since).ok());
            oldest.push(([name], age.unwrap_or_default().as_secs_f64()));
        }
        let help = "Messages held, by lane and state.";
        gauges(encoder, ("shivneri_queue_messages", help, messages))?;
        let help = "Age of the oldest message that is due and not finished; 0 without any.";
        gauges(encoder, ("shivneri_queue_oldest_seconds", help, oldest))
    }

    fn duplicates(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let help = "Attempts that are open or in doubt: so many messages may be sent twice.";
        let bound = vec![([], self.stats.duplicates_bound() as f64)];
        gauges::<0>(encoder, ("shivneri_possible_duplicates_bound", help, bound))?;
        let help = "Attempts made while an earlier one was in doubt.";
        encoder
            .encode_descriptor("shivneri_possible_duplicates", help, None, MetricType::Counter)?
            .encode_counter::<NoLabelSet, _, u64>(&self.stats.possible_duplicates, None)?;
        let help = "Mail known to have been taken twice.";
        encoder
            .encode_descriptor("shivneri_confirmed_duplicates", help, None, MetricType::Counter)?
            .encode_counter::<NoLabelSet, _, u64>(&self.stats.confirmed_duplicates, None)
    }

    fn commits(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let bounds = Commits::BOUNDS.into_iter().chain([f64::INFINITY]);
        let buckets: Vec<_> = bounds.zip(self.commits.buckets).collect();
        let sum = self.commits.time.as_secs_f64();
        let help = "Time that a commit of the queue takes, its sync included.";
        encoder
            .encode_descriptor("shivneri_spool_commit_seconds", help, None, MetricType::Histogram)?
            .encode_histogram::<NoLabelSet>(sum, self.commits.commits, &buckets, None)
    }
}
