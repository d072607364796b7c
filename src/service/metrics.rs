//! What is counted, for Prometheus.
//!
//! | name | is |
//! |---|---|
//! | `gameside_sessions_requests_total{operation,status}` | answered requests |
//! | `gameside_sessions_store_commits_total`, `…_store_writes_total` | commits, and the changes in them |
//! | `gameside_sessions_store_failing` | 1 while nothing can be made durable |
//! | `gameside_sessions_store_rows_set_aside{table}` | rows of the store that could not be read at the start |
//! | `gameside_sessions_live` | sessions |
//! | `gameside_sessions_instances_live` | instances that aren't closed |
//! | `gameside_sessions_tls_certificate_expiry_timestamp_seconds` | when the certificate in force expires |
//! | `gameside_sessions_servers{state}` | registered servers: `free`, `held`, `over` |

use super::{
    state::{State, server::ServerState},
    store::writer::Progress,
};
use crate::net::tls::Tls;
use http::StatusCode;
use prometheus_client::{
    encoding::{EncodeLabelSet, text::encode},
    metrics::{counter::Counter, family::Family, gauge::Gauge},
    registry::Registry,
};
use std::sync::{Arc, OnceLock};

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct AnswerLabels {
    operation: &'static str,
    status: u16,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Labels {
    state: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct TableLabels {
    table: &'static str,
}

#[derive(Debug, Default)]
pub struct Metrics {
    requests: Family<AnswerLabels, Counter>,
    certificate: OnceLock<Arc<Tls>>,
}

impl Metrics {
    pub fn answered(&self, operation: &'static str, status: StatusCode) {
        self.requests.get_or_create(&AnswerLabels { operation, status: status.as_u16() }).inc();
    }

    /// From now on the text says when the certificate in force expires.
    pub fn shows_certificate(&self, tls: Arc<Tls>) {
        // It is served once.
        let _ = self.certificate.set(tls);
    }

    /// The text that Prometheus reads.
    pub fn text(&self, state: &State, progress: &Progress) -> String {
        let mut registry = Registry::with_prefix("gameside_sessions");
        registry.register("requests", "Answered requests", self.requests.clone());
        let counters = [
            ("store_commits", "Commits of the store", progress.commits),
            ("store_writes", "Changes in the store's commits", progress.written),
        ];
        for (name, help, value) in counters {
            let counter: Counter = Counter::default();
            counter.inc_by(value);
            registry.register(name, help, counter);
        }
        let gauges = [
            ("store_failing", "1 while nothing can be made durable", i64::from(progress.failing.is_some())),
            ("live", "Sessions", state.session_count() as i64),
            ("instances_live", "Instances that are not closed", state.live_instances() as i64),
        ];
        for (name, help, value) in gauges {
            let gauge: Gauge = Gauge::default();
            gauge.set(value);
            registry.register(name, help, gauge);
        }
        if let Some(expires) = self.certificate.get().and_then(|tls| tls.expires()) {
            let gauge: Gauge = Gauge::default();
            gauge.set(expires);
            let help = "When the TLS certificate in force expires";
            registry.register("tls_certificate_expiry_timestamp_seconds", help, gauge);
        }
        let servers: Family<Labels, Gauge> = Family::default();
        for server in state.servers.iter() {
            let name = match server.state {
                ServerState::Free => "free",
                ServerState::Held { .. } => "held",
                ServerState::Over => "over",
            };
            servers.get_or_create(&Labels { state: name }).inc();
        }
        registry.register("servers", "Registered servers", servers);
        let set_aside: Family<TableLabels, Gauge> = Family::default();
        for (table, count) in state.set_aside.counts() {
            set_aside.get_or_create(&TableLabels { table }).set(count as i64);
        }
        registry.register("store_rows_set_aside", "Rows of the store that could not be read at the start", set_aside);
        let mut text = String::new();
        // Writing into a String can't fail.
        let _ = encode(&mut text, &registry);
        text
    }
}
